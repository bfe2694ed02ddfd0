"""The documents and their parts: prose without code, fenced blocks, inline code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


class Block(NamedTuple):
    """A fenced block: its language ("" if none is given) and its text."""

    language: str
    text: str


def name_of(page: Path) -> str:
    """The page as the ids of the tests show it."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", _text(page), re.DOTALL | re.M):
        yield Block(language, text)


def prose_of(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", _text(page), flags=re.DOTALL | re.M)


def inline_code_of(page: Path) -> list[str]:
    """What stands between single backticks, each on one line."""
    return [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose_of(page))]


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")
