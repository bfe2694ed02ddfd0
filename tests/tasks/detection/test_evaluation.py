"""A detector's evaluation: figures, confusion, mistakes, tables, text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from pplcnet.reports.evaluation_files import Source, write_evaluation
from pplcnet.system.wording import json_text
from pplcnet.tasks.detection.evaluation import BoxEvaluation
from tests.tasks.detection.boxes import evaluation_of, found, noisy, true

TRUTH = [
    true((0, 0, 0, 50, 50), (1, 100, 0, 150, 50)),
    true((0, 0, 0, 200, 200), (0, 300, 300, 340, 340)),
    true(),
]
ANSWERS = [
    found((0, 0.9, 0, 0, 50, 50), (0, 0.8, 100, 0, 150, 50)),
    found((0, 0.2, 0, 0, 200, 200)),
    found((1, 0.95, 10, 10, 60, 60), (1, 0.1, 100, 100, 150, 150)),
]


@pytest.fixture
def evaluation() -> BoxEvaluation:
    return evaluation_of(TRUTH, ANSWERS)


def test_confusion_counts_what_is_mistaken_missed_and_invented(evaluation: BoxEvaluation) -> None:
    assert evaluation.confusion.tolist() == [[1, 0, 2], [1, 0, 0], [0, 1, 0]]
    figures = evaluation.figures()
    assert figures["boxes"] == 4
    assert figures["confidence"] == 0.4
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["recall"] == pytest.approx(1 / 4)


def test_figures_of_every_class(evaluation: BoxEvaluation) -> None:
    cat, dog = evaluation.per_class()
    assert (cat.label, cat.boxes, cat.images) == ("cat", 3, 2)
    assert cat.precision == 0.5
    assert cat.recall == pytest.approx(1 / 3)
    assert dog.average_precision == 0
    assert dog.best_threshold is None
    assert dog.precision == 0


def test_mistakes_come_by_confidence_and_then_by_area(evaluation: BoxEvaluation) -> None:
    told = [(each.name, each.kind, each.label, each.answer) for each in evaluation.mistakes]
    assert told == [
        ("2.jpg", "invented", "", "dog"),
        ("0.jpg", "mistaken", "dog", "cat"),
        ("1.jpg", "missed", "cat", ""),
        ("1.jpg", "missed", "cat", ""),
    ]
    assert [each.area for each in evaluation.mistakes[2:]] == [40000, 1600]


def test_another_confidence_shows_other_boxes() -> None:
    evaluation = evaluation_of(TRUTH, ANSWERS, confidence=0.15)
    assert evaluation.confusion.tolist() == [[2, 0, 1], [1, 0, 0], [0, 1, 0]]
    same = evaluation_of(TRUTH, ANSWERS)
    assert evaluation.figures()["box_map"] == same.figures()["box_map"]


def test_the_text_names_the_worst_mistakes(evaluation: BoxEvaluation) -> None:
    text = evaluation.to_text(1)
    assert "the most confident of 2 wrong boxes:" in text
    assert "2.jpg: dog (0.950) at 10, 10, 60, 60, invented" in text
    assert "the largest of 2 missed boxes:\n  1.jpg: cat missed at 0, 0, 200, 200" in text
    assert "boxes with a confidence of 0.40 or more" in text
    assert "0.jpg: cat (0.800) at 100, 0, 150, 50, where dog was drawn" in evaluation.to_text()


def test_it_is_written_as_files(evaluation: BoxEvaluation, tmp_path: Path) -> None:
    files = write_evaluation(evaluation, tmp_path, Source("test", "photos"))
    assert {each.name for each in files} == {
        "evaluation.md", "evaluation.json", "per_class.csv", "confusion.csv",
        "precision_recall.csv", "mistakes.csv", "precision_recall.png",
    }  # fmt: skip
    facts = json.loads((tmp_path / "evaluation.json").read_text())
    assert facts["box_map"] == pytest.approx(evaluation.figures()["box_map"])
    assert facts["confusion"] == evaluation.confusion.tolist()
    lines = (tmp_path / "confusion.csv").read_text().splitlines()
    assert lines[0] == "there,cat,dog,(nothing)"
    assert lines[3] == "(nothing),0,1,0"
    with Image.open(tmp_path / "precision_recall.png") as image:
        assert image.width > 500


def test_a_detector_that_finds_nothing_is_warned_of() -> None:
    evaluation = evaluation_of(TRUTH, [found(), found(), found()])
    assert evaluation.weakness() == "AP 0.0000 is about what guessing gets"
    assert "mistakes" not in evaluation.weakness()
    assert evaluation_of(TRUTH, ANSWERS).weakness() == ""


def test_without_boxes_figures_are_undefined() -> None:
    evaluation = evaluation_of([true()], [found()])
    assert evaluation.figures()["box_map"] is None
    assert evaluation.headline() == "– AP, – AP50"
    assert evaluation.weakness() == ""
    assert json.loads(json_text(evaluation.to_dict()))["recall"] is None
    assert "AP –" in evaluation.to_text()


def test_many_images_get_an_interval() -> None:
    evaluation = evaluation_of(*noisy(40))
    low, high = evaluation.to_dict()["box_map_interval"]
    assert low < evaluation.figures()["box_map"] < high
    assert "bootstrap over photos" in evaluation.to_text()
    assert "AP50" in repr(evaluation)
