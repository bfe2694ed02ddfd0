"""What a report on a detector shows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pplcnet.data.annotations import Boxes
from pplcnet.data.dataset import Dataset
from pplcnet.pages.page import render
from pplcnet.pages.section import ReportContext, TaskReport
from pplcnet.tasks.detection.answers import BoxAnswers
from pplcnet.tasks.detection.report import label_suspects, report
from pplcnet.tasks.detection.suppression import FoundBoxes
from tests.tasks.detection.boxes import CLASSES, evaluation_of, found, images_of, manifest, true

TRUTH = [
    true((0, 10, 10, 110, 110), (1, 200, 50, 300, 150)),
    true((0, 10, 10, 210, 210), (0, 300, 300, 340, 340)),
    true(),
    true((1, 100, 100, 200, 200)),
]
ANSWERS = [
    found((0, 0.9, 10, 10, 110, 110), (0, 0.8, 200, 50, 300, 150)),
    found((0, 0.2, 10, 10, 210, 210)),
    found((1, 0.95, 10, 10, 60, 60)),
    found((1, 0.6, 100, 100, 200, 200)),
]


def _context(
    folder: Path, truth: list[Boxes], answers: list[FoundBoxes], classes: Any = CLASSES
) -> ReportContext:
    images = [replace(each, path=folder / each.path) for each in images_of(truth)]
    for at, image in enumerate(images):
        Image.new("RGB", (640, 480), (40 * at % 256, 90, 120)).save(image.path)
    dataset = Dataset(folder, classes, tuple(images), task="detection")
    bundle = SimpleNamespace(manifest=manifest(), classes=classes)
    evaluation = replace(evaluation_of(truth, answers), classes=classes)
    return ReportContext(bundle, evaluation, dataset, answers, dataset.keep(()), [], (0.9,))


def _page(made: TaskReport) -> str:
    return render(
        "page.html", package="pplcnet.tasks.detection", sections=made.sections, title=made.title,
        tiles=made.tiles, split="test", images=4, photos="photos", choice="onnxruntime float32",
        trained=0, warning="", is_of_training=False, notes=[],
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _page(report(_context(tmp_path_factory.mktemp("photos"), TRUTH, ANSWERS)))


def test_every_part_is_on_the_page(page: str) -> None:
    ids = re.findall(r'<section id="([^"]+)"', page)
    assert ids[:6] == ["classes", "curves", "sizes", "confidence", "confusion", "photos"]
    assert {"inventions", "misses"} <= set(ids)
    assert page.count('<svg class="chart"') == 4
    assert "<strong>2</strong><span>missed boxes</span>" in page


def test_boxes_lie_over_the_photos_in_the_photo_s_pixels(page: str) -> None:
    assert '<svg viewBox="0 0 640 480"' in page
    assert '<rect class="found" x="10.0" y="10.0" width="100.0" height="100.0">' in page
    assert "<title>invented: dog 0.95</title>" in page
    assert "<title>missed: cat</title>" in page
    assert "<title>mistaken: cat 0.80</title>" in page


def test_photos_can_be_filtered_by_what_is_wrong_with_them(page: str) -> None:
    kinds = re.findall(r'<figure class="shot([^"]*)">', page)
    assert sorted(each.split() for each in kinds) == [
        ["has-invented"], ["has-missed"], ["has-mistaken"], ["has-right"]
    ]  # fmt: skip
    for kind in ("missed", "invented", "mistaken", "right"):
        assert f'<input type="radio" name="photos" value="{kind}">' in page
        assert f'[value="{kind}"][type="radio"]:checked) .shot:not(.has-{kind})' in page


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    classes = ("<script>alert(1)</script>", '"><img src=x>')
    text = _page(report(_context(tmp_path, TRUTH, ANSWERS, classes)))
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_without_boxes_there_are_no_charts(tmp_path: Path) -> None:
    text = _page(report(_context(tmp_path, [true()], [found()])))
    ids = re.findall(r'<section id="([^"]+)"', text)
    assert ids == ["classes", "confidence", "confusion", "photos"]


def test_a_photo_that_is_gone_is_left_out(tmp_path: Path) -> None:
    context = _context(tmp_path, TRUTH, ANSWERS)
    (tmp_path / "0.jpg").unlink()
    assert _page(report(context)).count('<figure class="shot') == 3


def test_suspects_are_as_confident_as_boxes_that_are_right() -> None:
    rows = [(0, 10 * at, 0, 10 * at + 9, 9) for at in range(20)]
    right = [(row[0], 0.9, *row[1:]) for row in rows]
    evaluation = evaluation_of(
        [true(*rows), true((0, 0, 0, 50, 50)), true()],
        [
            found(*right),
            found((0, 0.95, 0, 0, 50, 20), (1, 0.92, 100, 100, 150, 150)),  # badly placed; nothing
            found((1, 0.5, 0, 0, 50, 50)),  # not confident
        ],
    )
    (suspect,) = label_suspects(evaluation)
    assert (suspect.name, suspect.kind, suspect.answer) == ("1.jpg", "invented", "dog")
    assert label_suspects(evaluation_of([true()], [found()])) == []


def test_answers_of_two_networks_are_compared_by_what_they_show() -> None:
    dataset = Dataset(Path(), CLASSES, tuple(images_of(TRUTH)), task="detection")
    answers = BoxAnswers(dataset, evaluation_of(TRUTH, ANSWERS))
    again = answers.answered_by(ANSWERS)
    assert answers.agreement(again) == 1
    other = answers.answered_by([*ANSWERS[:3], found()])
    assert answers.agreement(other) == 0.75
    assert other.score().value < answers.score().value
    chosen = np.array([False, False, True, False])
    assert answers.score(chosen) is None
    assert answers.score(~chosen).images == 3


def test_the_box_that_a_picture_is_of_stands_out(page: str) -> None:
    assert page.count('<rect class="invented meant"') == 1
    assert page.count('<rect class="missed meant"') == 2
    assert "<b>cat</b> missed" in page
    assert "<b>cat</b> 0.80, drawn as <b>dog</b>" in page
