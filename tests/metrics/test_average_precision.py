"""Several labels a photo: tables, audit, division, average precision, thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits, write_splits
from pplcnet.errors import DatasetError
from pplcnet.metrics.average_precision import average_precision
from pplcnet.metrics.calibration import fit_sigmoid_temperature
from pplcnet.tasks.audit import audit
from pplcnet.tasks.classification.decoding import ClassPrediction
from pplcnet.tasks.multilabel.decoding import LabelPrediction
from pplcnet.tasks.multilabel.measures import (
    choose_threshold,
    marks_of,
    mean_average_precision,
)
from pplcnet.tasks.scores import sigmoid
from tests.conftest import draw_image


def _table(folder: Path, text: str, photos: int = 8) -> Path:
    for number in range(photos):
        draw_image(number % 3, number).save(folder / f"{number}.png")
    path = folder / "table.csv"
    path.write_text(text)
    return path


def test_names_between_semicolons_and_a_column_a_label_say_the_same(tmp_path: Path) -> None:
    named = Dataset.open(_table(tmp_path, "path,labels\n0.png,b; a\n1.png,\n2.png,a;a\n"))
    columns = Dataset.open(_table(tmp_path, "path,b,a\n0.png,1,1\n1.png,0,0.0\n2.png,0,1\n"))
    assert named.task == columns.task == "multilabel"
    assert named.classes == columns.classes == ("a", "b")
    assert (
        marks_of(named.images, 2).tolist()
        == marks_of(columns.images, 2).tolist()
        == [[1, 1], [0, 0], [1, 0]]
    )
    assert named.class_counts() == (2, 1)


def test_empty_and_minus_one_are_unknown(tmp_path: Path) -> None:
    dataset = Dataset.open(_table(tmp_path, "path,a,b,split\n0.png,,1,train\n1.png,-1,0,test\n"))
    assert marks_of(dataset.images, len(dataset.classes)).tolist() == [[-1, 1], [-1, 0]]
    assert [image.split for image in dataset.images] == ["train", "test"]


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("path,a,by\n0.png,1,Ann\n1.png,2,Bob\nno.png,0,\n",
         ["3 faults", "column 'by' holds 'Ann' on line 2 and on 1 more", "'a' holds '2' on line 3",
          "1 (on the photo), 0 (not on it)", "no.png does not exist"]),
        ("path,label,labels\n0.png,a,b\n", ["leave out the one that is not meant"]),
        ("path,labels\n0.png,a\n", ["1 label in"]),
        ("path,labels\n0.png,a;Split\n", ["no label can be called Split"]),
        ("path,a,a \n0.png,1,1\n", ["several columns named a"]),
    ],
    ids=["values and photo", "both columns", "one label", "reserved name", "twice"],
)  # fmt: skip
def test_a_wrong_table_says_what_is_wrong(tmp_path: Path, text: str, complaints: list[str]) -> None:
    with pytest.raises(DatasetError) as caught:
        Dataset.open(_table(tmp_path, text))
    for complaint in complaints:
        assert complaint in str(caught.value)


def test_the_audit_names_labels_that_cannot_be_learnt(tmp_path: Path) -> None:
    rows = "0.png,1,1,0,0\n1.png,1,0,0,1\n2.png,1,1,,0\n3.png,1,0,0,0\n"
    found = audit(Dataset.open(_table(tmp_path, f"path,a,b,c,d\n{rows}")))
    assert [fault.text.split(";")[0] for fault in found.faults] == [
        "label 'c' is on no photo", "label 'd' is on one photo",
    ]  # fmt: skip
    assert any("6.2% of the labels are unknown" in note for note in found.notes)
    assert any("no photo is known to lack a" in note for note in found.notes)
    mended = found.without_faults()
    assert mended.classes == ("a", "b")
    assert marks_of(mended.images, len(mended.classes)).tolist() == [[1, 1], [1, 0], [1, 1], [1, 0]]


@pytest.mark.parametrize(("other", "is_fault"), [("0,1", True), (",1", False)])
def test_copies_may_leave_a_label_unknown_but_not_contradict(
    tmp_path: Path, other: str, is_fault: bool
) -> None:
    path = _table(tmp_path, f"path,a,b\n0.png,1,1\ncopy.png,{other}\n1.png,1,0\n2.png,0,1\n")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    found = audit(Dataset.open(path))
    assert any(fault.kind == "two labels" for fault in found.faults) == is_fault


def test_the_digest_changes_with_any_label(tmp_path: Path) -> None:
    texts = ("path,a,b\n0.png,1,1\n1.png,0,1\n", "path,a,b\n0.png,1,1\n1.png,,1\n")
    one, other = (audit(Dataset.open(_table(tmp_path, text))).digest for text in texts)
    assert one != other


def test_every_label_is_divided_near_to_its_share_and_read_back(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    shown = generator.random((300, 5)) < [0.5, 0.3, 0.1, 0.05, 0.02]
    lines = [",".join([f"{at}.png", *map(str, row.astype(int))]) for at, row in enumerate(shown)]
    for at in range(300):
        (tmp_path / f"{at}.png").touch()
    dataset = Dataset.open(_table(tmp_path, "\n".join(["path,a,b,c,d,e", *lines]), photos=0))
    parts = draw_splits(dataset, validation=0.2, test=0.2, seed=0)
    for part in (parts.validation, parts.test):
        assert abs(len(part) - 60) <= 3
        shares = np.divide(part.class_counts(), dataset.class_counts())
        assert np.abs(shares - 0.2).max() < 0.1
    write_splits(parts, tmp_path / "split.csv")
    again = Dataset.open(tmp_path / "split.csv")
    assert again.task == "multilabel"
    assert again.subset("test").class_counts() == parts.test.class_counts()


def test_average_precision_by_hand_and_as_scikit_learn_has_it() -> None:
    scores, shown = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(scores, shown) == pytest.approx((1 + 2 / 3) / 2)
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores = generator.integers(0, 9, 40) / 9  # with equal scores
        shown = generator.random(40) < 0.3
        shown[0] = True
        expected = metrics.average_precision_score(shown, scores)
        assert average_precision(scores, shown) == pytest.approx(expected)


def test_unknown_labels_and_labels_without_photos_do_not_count() -> None:
    marks = np.array([[1, 0, -1], [0, 0, 1], [-1, 0, 0]], np.int8)
    scores = np.array([[0.9, 0.1, 0.99], [0.1, 0.9, 0.9], [1.0, 0.5, 0.1]])
    assert mean_average_precision(scores, marks) == 1.0
    assert mean_average_precision(scores, np.zeros_like(marks)) == 0.0


def test_the_threshold_has_the_best_f1_and_lies_between_photos() -> None:
    probabilities = np.array([0.2, 0.9, 0.4, 0.3])
    assert choose_threshold(probabilities, np.array([False, True, True, False])) == pytest.approx(
        0.35
    )
    assert choose_threshold(probabilities, np.zeros(4, bool)) == 0.5
    assert 0 < choose_threshold(probabilities, np.ones(4, bool)) < 0.2


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_sigmoid_temperature_undoes_what_logits_were_multiplied_by(scale: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, 20_000)
    shown = generator.random(20_000) < sigmoid(logits)
    assert fit_sigmoid_temperature(logits * scale, shown) == pytest.approx(scale, rel=0.07)


def test_a_prediction_answers_the_labels_that_reach_their_threshold() -> None:
    logits = np.array([2.0, -1.0, 0.5], np.float32)
    answer = LabelPrediction("a.png", None, logits, ("a", "b", "c"), thresholds=(0.9, 0.1, 0.5))
    assert [each.label for each in answer.labels] == ["c", "b"]
    assert answer.best.label == "a"
    np.testing.assert_allclose(answer.probabilities, 1 / (1 + np.exp(-logits.astype(float))))
    assert [
        each.label for each in ClassPrediction("a.png", None, logits, ("a", "b", "c")).labels
    ] == ["a"]
