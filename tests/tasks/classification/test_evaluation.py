"""Evaluation: the figures, counted by hand, and the files that hold them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError, ImageError, InputError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.reports.evaluation_files import (
    Source,
    describe,
    write_evaluation,
)
from pplcnet.runtime.classifier import Classifier
from pplcnet.tasks.classification.decoding import ClassPrediction
from pplcnet.tasks.classification.evaluation import ClassEvaluation
from pplcnet.tasks.classification.plot import draw_confusion, most_confused
from pplcnet.tasks.evaluate import evaluate
from pplcnet.tasks.multilabel.evaluation import LabelEvaluation


class _Answers:
    """A classifier whose answers are known: the first letter of the file's name, by `certainty`."""

    manifest = Manifest(("b", "a", "c", "d", "e", "f", "g"), Preprocessing((32, 32)), {})

    def __init__(self, answers: dict[str, tuple[str, float]]) -> None:
        self._answers = answers

    def predict_many(self, images):
        for path in images:
            label, certainty = self._answers[path.name]
            logits = np.linspace(0, 0.1, 7, dtype=np.float32)
            logits[self.manifest.classes.index(label)] = certainty
            yield ClassPrediction(str(path), None, logits, self.manifest.classes)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rows = ["path,label"]
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(b"x")
        rows.append(f"{number}.png,{'aaabbc'[number]}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    return Dataset.open(tmp_path / "table.csv")


ANSWERS = {
    "0.png": ("a", 9.0), "1.png": ("a", 9.0), "2.png": ("b", 3.0),
    "3.png": ("b", 9.0), "4.png": ("a", 5.0), "5.png": ("c", 9.0),
}  # fmt: skip


def test_figures_are_those_counted_by_hand(dataset: Dataset) -> None:
    evaluation = evaluate(_Answers(ANSWERS), dataset)
    assert evaluation.images == 6
    assert evaluation.top1 == pytest.approx(4 / 6)
    # Of 2.png (true a) and 4.png (true b), the true class is not among the five best for b, whose
    # logit is the least of all.
    assert evaluation.top5 == pytest.approx(4 / 6)
    figures = {each.label: each for each in evaluation.per_class()}
    assert figures["a"][1:4] == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert figures["b"][1:4] == (2, pytest.approx(1 / 2), pytest.approx(1 / 2))
    assert figures["c"].f1 == 1.0
    assert figures["d"][1:] == (0, None, None, None)
    assert evaluation.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    order = [evaluation.classes.index(label) for label in "abc"]
    np.testing.assert_array_equal(
        evaluation.confusion[np.ix_(order, order)], [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    )
    assert [(m.name, m.label, m.predicted) for m in evaluation.mistakes] == [
        ("4.png", "b", "a"), ("2.png", "a", "b"),
    ]  # fmt: skip


def test_unknown_classes_and_broken_files_are_errors(dataset: Dataset) -> None:
    class Fewer(_Answers):
        manifest = Manifest(("a", "b"), Preprocessing((32, 32)), {})

    with pytest.raises(InputError, match="not trained on: c"):
        evaluate(Fewer(ANSWERS), dataset)

    class Broken(_Answers):
        def predict_many(self, images):
            for path in images:
                error = ImageError(str(path), "is broken.") if path.name == "3.png" else None
                yield ClassPrediction(str(path), error, np.zeros(7, np.float32), tuple("bacdefg"))

    with pytest.raises(DatasetError, match=r"(?s)1 image cannot be evaluated.*3\.png: is broken"):
        evaluate(Broken(ANSWERS), dataset)


def test_the_files_hold_the_same_figures(dataset: Dataset, tmp_path: Path) -> None:
    evaluation = evaluate(_Answers(ANSWERS), dataset)
    source = Source("validation", "/data/my $shoes$")
    written = write_evaluation(evaluation, tmp_path / "out", source)
    assert all(path.is_file() for path in written)
    values = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert values["top1"] == evaluation.top1
    assert (values["split"], values["photos"]) == source[:2]
    page = (tmp_path / "out/evaluation.md").read_text()
    assert "On the validation split of /data/my $shoes$." in page
    assert values["confusion"] == evaluation.confusion.tolist()
    assert values["mistakes"][0]["name"] == "4.png"
    with (tmp_path / "out/confusion.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header[1:] == list(evaluation.classes)
    assert [[int(each) for each in row[1:]] for row in rows] == evaluation.confusion.tolist()
    with (tmp_path / "out/per_class.csv").open() as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(evaluation.classes)
    assert list(rows["d"].values()) == ["d", "0", "", "", ""]
    assert values["per_class"][3] == {
        "label": "d", "images": 0, "precision": None, "recall": None, "f1": None,
    }  # fmt: skip
    text = (tmp_path / "out/evaluation.md").read_text()
    assert re.search(r"^d +0 +– +– +–$", text, re.MULTILINE)
    assert "top-5" in text


def test_a_class_never_answered_has_no_precision_and_one_without_photos_no_recall() -> None:
    evaluation = ClassEvaluation(("a", "b"), np.array([[0, 3], [0, 0]]), 0, 1, (), 0, 0)
    assert evaluation.per_class() == [("a", 3, None, 0, 0), ("b", 0, 0, None, None)]
    assert evaluation.macro_f1 == 0


def test_among_five_classes_the_text_has_no_top_5() -> None:
    evaluation = ClassEvaluation(tuple("abcde"), np.eye(5, dtype=np.int64), 1, 1, (), 0, 0)
    assert "top-5" not in describe(evaluation)
    assert evaluation.figures()["top5"] == 1


def test_the_picture_names_the_split_and_the_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    titles = []
    real = Axes.set_title

    def set_title(axes, text, **options):
        titles.append(text)
        return real(axes, text, **options)

    monkeypatch.setattr(Axes, "set_title", set_title)
    classes = ClassEvaluation(("a", "b"), np.eye(2, dtype=np.int64), 1, 1, (), 0, 0)
    marks = np.array([[1, 0], [0, 1]], np.int8)
    labels = LabelEvaluation(("a", "b"), (0.5, 0.5), ("1", "2"), marks * 0.9, marks)
    for evaluation in (classes, labels):
        write_evaluation(evaluation, tmp_path / "out", Source("test", "/data/my photos"))
        write_evaluation(evaluation, tmp_path / "out", Source("all", "/data/list.csv"))
    ends = [title.split("\n")[1] for title in titles]
    assert ends == ["the test split of my photos", "all photos of list.csv"] * 2


def test_figures_that_guessing_would_reach_are_said_to_be_so(tmp_path: Path) -> None:
    said = "warning: accuracy 0.500 is not clearly above 0.500"
    for counts, is_said in (([[5, 5], [5, 5]], True), ([[10, 0], [0, 10]], False)):
        confusion = np.array(counts)
        top1 = float(np.trace(confusion) / confusion.sum())
        evaluation = ClassEvaluation(("a", "b"), confusion, top1, 1, (), 0, 0)
        assert describe(evaluation).startswith(said) == is_said
        write_evaluation(evaluation, tmp_path, Source("test", "/photos"))
        assert (said in (tmp_path / "evaluation.md").read_text()) == is_said


def test_the_picture_grows_with_the_classes_and_stays_readable(tmp_path: Path) -> None:
    sizes = []
    for count in (3, 40, 150):
        confusion = np.diag(np.arange(1, count + 1))
        names = tuple(f"a class with number {n}" for n in range(count))
        draw_confusion(
            ClassEvaluation(names, confusion, 1.0, 1.0, (), 0.0, 0.0), tmp_path / "c.png"
        )
        with Image.open(tmp_path / "c.png") as image:
            sizes.append(min(image.size))
            assert len(image.convert("L").getcolors()) > 10
    # 40 rows of at least 40 pixels each hold a legible label.
    assert sizes[0] < sizes[1]
    assert sizes[1] >= 40 * 30
    assert sizes[2] < 2000


def test_of_many_classes_the_picture_shows_those_of_the_most_mistakes() -> None:
    counts = np.diag(np.full(100, 9))
    counts[7, 90], counts[30, 31] = 5, 1
    assert most_confused(counts, 2).tolist() == [7, 90]
    assert most_confused(counts, 4).tolist() == [7, 30, 31, 90]
    assert most_confused(counts[:3, :3], 60).tolist() == [0, 1, 2]


def test_evaluation_goes_through_the_deployed_path(
    common_bundle: Path, common_photos: Path
) -> None:
    classifier = Classifier(common_bundle)
    dataset = Dataset.open(common_photos)
    evaluation = evaluate(classifier, dataset)
    right = sum(
        classifier.predict(image.path).best.label == dataset.classes[image.shown[0]]
        for image in dataset.images
    )
    assert evaluation.top1 == pytest.approx(right / 36)
