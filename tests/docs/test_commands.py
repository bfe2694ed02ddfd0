"""Commands in the documents: verbs, options, recipe fields, benchmarks and targets exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import pplcnet
from pplcnet.cli.main import VERBS, parser_of, split_verb
from tests.docs.pages import PAGES, ROOT, blocks_of, inline_code_of, name_of

BETWEEN_COMMANDS = {"|", "||", "&&", ";", ">", ">>", "&"}


def _commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block or of a line."""
    for line in text.replace("\\\n", " ").splitlines():
        reader = shlex.shlex(line, posix=True, punctuation_chars=";|&>")
        reader.whitespace_split = True
        words: list[str] = []
        for word in [*reader, ";"]:
            if word not in BETWEEN_COMMANDS:
                words.append(word)
                continue
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                del words[0]
            if words:
                yield words
            words = []


@cache
def _commands_of(page: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Whole commands in shell blocks, and those between backticks, which may be parts."""
    shell = [each.text for each in blocks_of(page) if each.language in ("", "sh")]
    return (
        [words for text in shell for words in _commands(text)],
        [
            words
            for text in inline_code_of(page)
            if text.startswith(("pplcnet ", "python benchmarks/", "make "))
            for words in _commands(text)
        ],
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_whole_commands_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = []
    for words in _commands_of(page)[0]:
        if words[0] != "pplcnet" or words[1:] in (["--help"], ["--version"]):
            continue
        try:
            verb, rest = split_verb(words[1:])
            parser_of(verb).parse_args(rest)
        except SystemExit:
            refused.append(f"{shlex.join(words)}: {capsys.readouterr().err}")
    assert refused == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_verbs_and_options_exist(page: Path) -> None:
    whole, parts = _commands_of(page)
    unknown = []
    for words in (each for each in whole + parts if each[0] == "pplcnet"):
        if words[1].startswith("-") or words[1] == "VERB":
            continue
        verb, _ = split_verb(words[1:])
        if verb not in VERBS:
            if not any(each.startswith(f"{verb} ") for each in VERBS):
                unknown.append(shlex.join(words))
            continue
        parser = parser_of(verb)
        options = {each for action in parser._actions for each in action.option_strings}
        for place, word in enumerate(words[2:], start=2):
            if word.startswith("--") and word.partition("=")[0] not in options:
                unknown.append(f"pplcnet {words[1]} {word}")
            if words[place - 1] == "--set" and not _is_field(word.partition("=")[0]):
                unknown.append(f"--set {word}")
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_between_backticks_are_fields(page: Path) -> None:
    texts = [each for each in inline_code_of(page) if each.startswith("--set ")]
    names = [each.partition("=")[0] for text in texts for each in text.split() if "=" in each]
    assert [name for name in names if not (name.isupper() or _is_field(name))] == []


def _with_neighbours(script: Path) -> str:
    """The script's text, and that of the scripts beside it whose functions it imports."""
    text = script.read_text(encoding="utf-8")
    beside = [
        script.with_name(f"{name}.py") for name in re.findall(r"^from (\w+) import", text, re.M)
    ]
    return text + "".join(each.read_text(encoding="utf-8") for each in beside if each.is_file())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_benchmarks_and_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    whole, parts = _commands_of(page)
    unknown = []
    for words in whole + parts:
        if words[0] == "make":
            targets = [each for each in words[1:] if "=" not in each]
            unknown += [each for each in targets if f"\n{each}:" not in makefile]
        scripts = [each for each in words if re.match(r"(benchmarks|docs)/\w+\.py$", each)]
        for script in scripts:
            source = ROOT / script
            if not source.is_file():
                unknown.append(script)
                continue
            text = _with_neighbours(source)
            unknown += [
                f"{script} {word}"
                for word in words
                if word.startswith("--") and f'"{word.partition("=")[0]}"' not in text
            ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_use_public_names(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "python":
            compile(block.text, name_of(page), "exec")
            names = set(re.findall(r"\bpplcnet\.(\w+)", block.text))
            assert names <= set(pplcnet.__all__)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_extras_exist(page: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*inline_code_of(page), *(each.text for each in blocks_of(page))]
    named = re.findall(r"\.\[([\w,]+)\]'", " ".join(texts))
    extras = {each for group in named for each in group.split(",")}
    assert extras <= set(project["optional-dependencies"])


def _is_field(name: str) -> bool:
    """Whether the help of `train` lists it among the recipe's fields."""
    return re.search(rf"^  {re.escape(name)} ", parser_of("train").epilog or "", re.M) is not None
