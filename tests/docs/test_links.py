"""Links within the documents lead to files and headings that exist; pages keep to their length."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, prose_of

# Pages that have to stay short, with the most lines each may have.
MOST_LINES = {"README.md": 150, "docs/architecture.md": 150}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert [each for each in _targets(page) if not _exists(page, each)] == []


@pytest.mark.parametrize("name", MOST_LINES)
def test_a_page_is_short(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES[name]


def test_headings_become_anchors_as_on_github() -> None:
    assert _anchors("# A `b` & c\n## Two words\n## Two words\n### INT8, or not?") == {
        "a-b--c", "two-words", "two-words-1", "int8-or-not",
    }  # fmt: skip


def _targets(page: Path) -> list[str]:
    """Relative targets of the links and pictures of a page."""
    prose = re.sub(r"`[^`\n]*`", "", prose_of(page))
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", prose)
    targets += re.findall(r"^\[[^\]]+\]:\s*(\S+)", prose, re.M)
    targets += re.findall(r"(?:src|href)=\"([^\"]+)\"", prose)
    return [each for each in targets if not re.match(r"[a-z][a-z+.-]*:", each)]


def _exists(page: Path, target: str) -> bool:
    path, _, anchor = unquote(target).partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists() or not file.is_relative_to(ROOT):
        return False
    return not anchor or (file.suffix == ".md" and anchor in _anchors(prose_of(file)))


def _anchors(prose: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.*?)[ #]*$", prose, re.M):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        base = anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{base}-{number}"
        found.add(anchor)
    return found
