"""A page is made of sections, whose templates a task may bring."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.pages.page import render
from pplcnet.pages.section import Section, Tile, mean_over
from pplcnet.reports.report import bundle_report
from pplcnet.reports.report_data import find_subject
from pplcnet.tasks import TASKS
from tests.pages.reader import PageReader

FOREIGN = "tests.pages.foreign"
HEADER = {
    "title": "A <title>", "tiles": [Tile("1", "tile", "a note")], "split": "test", "images": 3,
    "photos": "/photos", "warning": "", "is_of_training": False, "notes": ("note.",),
    "trained": 1, "choice": "an engine",
}  # fmt: skip


def test_the_navigation_leads_to_the_sections_in_their_order() -> None:
    sections = [
        Section("second", "Second", "own.html", {"texts": ["<b>"]}),
        Section("training", "Training", "training.html", {"curves": []}),
    ]
    text = render("page.html", sections=sections, package=FOREIGN, **HEADER)
    page = PageReader(text)
    assert page.sections() == ["second", "training"]
    assert page.links() == ["#second", "#training"]
    assert "&lt;b&gt;" in text
    for part in (
        "A <title>",
        "a note",
        "On 3 test photos of /photos",
        "Note.",
        "1 of these photos",
    ):
        assert part in page.text


@pytest.mark.parametrize(
    ("images", "text"),
    [
        ([3, 4], "mean over all 2 classes"),
        ([3, 0, 1], "mean over the 2 classes that have photos"),
        ([0, 1], "mean over the 1 class that has photos"),
    ],
)
def test_a_mean_says_what_it_is_over(images: list[int], text: str) -> None:
    assert mean_over(images, "class") == text


def test_a_task_in_another_package_has_a_report(
    common_bundle: Path, common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "classification", FOREIGN)
    subject = find_subject(Bundle.open(common_bundle), common_photos)
    page = PageReader(bundle_report(subject, is_every_variant_measured=False))
    assert page.sections() == ["made", "own", "copies", "variants"]
    for part in ("pplcnet_x0_25: 3 kinds", "1/4", "What was answered", "Photos by kind"):
        assert part in page.text
