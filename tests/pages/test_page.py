"""A page is made of sections, whose templates a task may bring."""

from __future__ import annotations

import pytest

from pplcnet.metrics.intervals import Interval
from pplcnet.pages.page import render
from pplcnet.pages.section import Score, Section, Tile, mean_over
from pplcnet.tasks.task import Measure
from tests.pages.reader import PageReader

COLOUR_COUNT = "tests.tasks.colour_count"
HEADER = {
    "title": "A <title>", "tiles": [Tile("1", "tile", "a note")], "split": "test", "images": 3,
    "photos": "/photos", "warning": "", "is_of_training": False, "notes": ("note.",),
    "trained": 1, "choice": "an engine",
}  # fmt: skip


def test_the_navigation_leads_to_the_sections_in_their_order() -> None:
    sections = [
        Section("second", "Second", "errors.html", {"errors": ["<b>"]}),
        Section("training", "Training", "training.html", {"curves": []}),
    ]
    text = render("page.html", sections=sections, package=COLOUR_COUNT, **HEADER)
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


def test_a_score_is_shown_with_and_without_an_interval() -> None:
    scores = [Score(4, 0.25, interval) for interval in (None, Interval(0.1, 0.4))]
    found = {"all": scores[0], "without": scores[1], "only": None}
    values = {
        **found, "missing": "", "trained_on": 0, "count": 1, "photos": 4, "trained": 2, "pairs": [],
    }  # fmt: skip
    for is_share, texts in ((True, ("25.0 %", "10.0–40.0 %")), (False, ("0.250", "0.10–0.40"))):
        measure = Measure("key", "measure", is_share)
        section = Section("copies", "Copies", "copies.html", {**values, "measure": measure})
        text = PageReader(render("page.html", sections=[section], **HEADER)).text
        for part in (*texts, "no interval"):
            assert part in text


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
