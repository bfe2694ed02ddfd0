"""Who may import whom, by the part and the role of a file; docs/architecture.md links to this."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "pplcnet"
MODULES = sorted(SOURCE.rglob("*.py"))

# A part imports those of lower floors, itself, and what BESIDE allows on its own floor. Files of
# tasks/ that need Keras or pages have a role of their own.
FLOORS = (
    {"errors", "system", "imaging"},
    {"catalog", "data", "bundle", "recipe", "metrics"},
    {"tasks"},
    {"models", "runtime", "pages"},
    {"task training", "task report"},
    {"weights", "gallery"},
    {"training", "exporting", "serving", "jobs"},
    {"reports", "pretraining"},
    {"runs"},
    {"cli", "benchmarking"},
    {"__init__", "__main__"},
)
BESIDE = {
    "errors": {"system"},
    "system": {"errors"},
    "imaging": {"errors", "system"},
    "recipe": {"catalog"},
    "pages": {"models"},
}
ROLES = {
    "task_training": "task training",
    "assignment": "task training",
    "neck": "task training",
    "head": "task training",
    "blocks": "task training",
    "deeplabv3p": "task training",
    "lraspp": "task training",
    "mobileseg": "task training",
    "losses": "task training",
    "views": "task training",
    "training": "task training",
    "distillation": "task training",
    "teachers": "task training",
    "report": "task report",
    "answers": "task report",
    "cells": "task report",
    "plot": "task report",
}
# Third-party libraries at the top of a module, by part; then the files that need others.
MAY_USE = {
    "system": set(),
    "imaging": {"numpy", "PIL"},
    "data": {"numpy", "PIL"},
    "metrics": {"numpy"},
    "tasks": {"numpy"},
    "task training": {"PIL", "keras", "numpy"},
    "task report": {"numpy"},
    "models": {"keras", "numpy"},
    "runtime": {"numpy", "PIL"},
    "gallery": {"numpy"},
    "pages": {"numpy", "PIL"},
    "weights": {"keras", "numpy"},
    "training": {"keras", "numpy", "PIL", "tqdm"},
    "exporting": {"keras", "numpy", "onnx"},
    "pretraining": {"keras", "numpy", "PIL"},
    "reports": {"numpy"},
    "runs": {"numpy"},
    "serving": {"numpy"},
    "jobs": set(),
    "benchmarking": {"numpy", "onnx"},
}
ALSO_USE = {
    "runtime/engines/onnxruntime.py": {"onnxruntime"},
    "runtime/engines/openvino.py": {"openvino"},
    "runtime/engines/litert.py": {"ai_edge_litert"},
    "pages/gradcam.py": {"keras"},
    "jobs/parts.py": {"pyarrow"},
    "jobs/plan.py": {"pyarrow"},
    "jobs/batches.py": {"numpy"},
    "jobs/objects.py": {"obstore"},
    "jobs/ray_cluster.py": {"ray"},
    "jobs/ray_commands.py": {"ray"},
    "jobs/ray_workers.py": {"ray"},
    "serving/grpc_messages.py": {"google"},
    "serving/grpc_server.py": {"google", "grpc"},
    "serving/http_protocol.py": {"uvicorn"},
    "serving/server.py": {"uvicorn"},
    "benchmarking/others/paddle_network.py": {"paddle"},
}
# Read by the command line, a run or another thread before Keras is there.
WITHOUT_KERAS = {
    "models/catalog.py",
    "models/registration.py",
    *(
        f"pretraining/{name}.py"
        for name in ("contours", "drawing", "fractals", "pictures", "plan", "textures", "views")
    ),
    *(
        f"training/{name}.py"
        for name in (
            "history", "interruption", "names", "nodes", "saved_facts", "search_database",
            "search_elsewhere", "search_journal", "search_lines", "search_sharing", "search_trial",
            "searching",
        )
    ),
    *(
        f"weights/{name}.py"
        for name in (
            "backbones", "connection_failures", "downloading", "fetching", "limits", "official",
            "paddle", "pickles", "recognition", "safetensors_files", "sources", "starts",
        )
    ),
    *(
        f"exporting/{name}.py"
        for name in (
            "calibrating", "embedding", "images", "int8", "quantization", "reference", "timing",
            "tuning", "tuning_table",
        )
    ),
}  # fmt: skip
# Imports that go up a floor, until what they need has moved down.
UPWARD: set[tuple[str, str]] = set()


def _part(relative: Path) -> str:
    if relative.parts[0] == "tasks" and len(relative.parts) > 1:
        return ROLES.get(relative.stem, "tasks")
    if relative == Path("models/catalog.py"):  # rows without a framework, which recipes name
        return "catalog"
    return relative.parts[0].removesuffix(".py")


def _floor(part: str) -> int:
    return next(at for at, parts in enumerate(FLOORS) if part in parts)


def _top_imports(module: Path) -> Iterator[str]:
    """Dotted names imported when the module is, type checking aside."""
    waiting: list[ast.stmt] = list(ast.parse(module.read_text()).body)
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) != "TYPE_CHECKING":
            waiting += [*statement.body, *statement.orelse]
        elif isinstance(statement, ast.Try):
            waiting += statement.body


def _file_of(name: str) -> Path | None:
    """The file of this project that holds what a dotted name imports."""
    parts = name.split(".")[1:]
    for length in (len(parts), len(parts) - 1):
        path = SOURCE.joinpath(*parts[:length]).with_suffix(".py")
        if length and path.exists():
            return path.relative_to(SOURCE)
        if length and (path.with_suffix("") / "__init__.py").exists():
            return path.with_suffix("").relative_to(SOURCE) / "__init__.py"
    return None


@pytest.mark.parametrize("module", MODULES, ids=lambda each: str(each.relative_to(SOURCE)))
def test_module_imports_only_what_its_part_may(module: Path) -> None:
    relative = module.relative_to(SOURCE)
    part, name = _part(relative), relative.as_posix()
    for imported in _top_imports(module):
        top = imported.split(".")[0]
        if top == "pplcnet":
            target = _file_of(imported)
            assert target is not None, f"{name} imports {imported}, which is no module"
            other = _part(target)
            is_allowed = (
                other == part
                or _floor(other) < _floor(part)
                or other in BESIDE.get(part, set())
                or (name, other) in UPWARD
            )
            assert is_allowed, f"{name} ({part}) imports {imported} ({other})"
        elif top not in sys.stdlib_module_names:
            allowed = MAY_USE.get(part, set()) | ALSO_USE.get(name, set())
            assert top in allowed, f"{name} imports {imported}"
            assert not (top == "keras" and name in WITHOUT_KERAS), f"{name} imports {imported}"


def test_no_upward_import_is_listed_that_is_gone() -> None:
    found = {
        (module.relative_to(SOURCE).as_posix(), _part(target))
        for module in MODULES
        for imported in _top_imports(module)
        if imported.startswith("pplcnet.") and (target := _file_of(imported)) is not None
    }
    assert found >= UPWARD


def test_no_two_files_import_each_other_in_a_circle() -> None:
    imports = {
        module.relative_to(SOURCE): {
            target
            for imported in _top_imports(module)
            if imported.startswith("pplcnet.") and (target := _file_of(imported)) is not None
        }
        for module in MODULES
    }
    waiting = dict(imports)
    while free := [module for module, needs in waiting.items() if not needs & set(waiting)]:
        for module in free:
            del waiting[module]
    assert sorted(map(str, waiting)) == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "common", "core", "base", "misc"}
    assert [module for module in MODULES if module.stem in vague] == []


def test_files_stay_small() -> None:
    assert [m.name for m in MODULES if len(m.read_text().splitlines()) > 400] == []


HEAVY = (
    "keras", "tensorflow", "torch", "jax", "onnx", "matplotlib", "sklearn", "openvino", "nncf",
    "cv2", "simplejpeg", "ai_edge_litert", "cleanlab", "pandas", "optuna", "jinja2", "imagehash",
    "cykooz_resizer", "scipy", "filelock", "pyarrow", "pycocotools", "ray",
    "obstore",
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import pplcnet", (*HEAVY, "numpy", "onnxruntime", "PIL")),
        ("import pplcnet; pplcnet.Classifier", HEAVY),
        ("import pplcnet.serving.worker", HEAVY),
        ("import pplcnet.serving.server", HEAVY),
        ("from pplcnet.cli.main import main; main(['--help'])", (*HEAVY, "numpy")),
        ("from pplcnet.cli.main import main; main(['models'])", (*HEAVY, "numpy", "onnxruntime")),
    ],
    ids=["import", "classifier", "worker", "server", "help", "models"],
)
def test_nothing_heavy_is_imported_for(code: str, forbidden: tuple[str, ...]) -> None:
    report = "import sys; print(sorted(set(sys.argv[1:]) & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}", *forbidden],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == "[]"


VERBS = (
    "train", "distill", "suspects", "check", "evaluate", "report", "export", "quantize", "tune",
    "calibrate", "convert", "predict", "classify", "serve", "embed", "gallery build",
    "gallery search", "benchmark", "inspect", "models", "pretrain", "demo",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_imports_nothing_heavy(verb: str) -> None:
    code = (
        "import sys\n"
        "from pplcnet.cli.main import main\n"
        "try: main([*sys.argv[1].split(), '--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "print(sorted({*sys.argv[2:]} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, verb, *HEAVY, "onnxruntime"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == "[]"
    assert "usage: pplcnet" in done.stdout
