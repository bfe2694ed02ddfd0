"""Shared code never asks which task it has, and stays readable."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "pplcnet"
MODULES = sorted(SOURCE.rglob("*.py"))
# What shared code would ask in place of calling what the task provides. Weights files have tensors
# whose number of dimensions says what they are.
QUESTIONS = re.compile(
    r"""task\ [=!]=|task\ (not\ )?in|isinstance\((self\.)?evaluation|thresholds\ is\ (not\ )?None
    |cuts\ is|["'](classification|multilabel)["']|(labels|targets|marks)\.ndim""",
    re.VERBOSE,
)
# Where a task's name is data: a default, what a layout reads, what older files and weights from
# elsewhere were made for, or a word of a protocol.
NAMES_A_TASK = {
    "bundle/format_1.py",
    "bundle/manifest.py",
    "data/dataset.py",
    "data/layouts/csv_table.py",
    "exporting/int8.py",
    "runtime/lone_network.py",
    "serving/tensors.py",
    "weights/inference_settings.py",
    "weights/keras_configs.py",
}
MOST_LINES, MOST_POSITIONAL = 300, 6


def _name(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_shared_code_does_not_ask_which_task_it_has(module: Path) -> None:
    if _name(module).startswith("tasks/") or _name(module) in NAMES_A_TASK:
        return
    lines = enumerate(module.read_text().splitlines(), start=1)
    assert [f"{at}: {line.strip()}" for at, line in lines if QUESTIONS.search(line)] == []


def test_long_files_say_why() -> None:
    long = [each for each in MODULES if len(each.read_text().splitlines()) > MOST_LINES]
    silent = [
        _name(each)
        for each in long
        if "longer than" not in (ast.get_docstring(ast.parse(each.read_text())) or "")
    ]
    assert silent == []


def test_functions_take_few_positional_arguments() -> None:
    crowded = [
        f"{_name(module)}: {node.name}"
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef)
        and len([each for each in node.args.args if each.arg not in ("self", "cls")])
        > MOST_POSITIONAL
    ]
    assert crowded == []
