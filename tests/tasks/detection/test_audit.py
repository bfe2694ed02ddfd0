"""Every fault of boxes: one sentence each, and what is left without it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pplcnet.data.annotations import Boxes
from pplcnet.data.audit import Audit, audit_dataset
from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from pplcnet.tasks.detection.audit import count_unseen, faults, misread_boxes, notes
from pplcnet.tasks.detection.evaluation import evaluate
from tests.data.layouts.boxes import annotation, write_coco, write_photo
from tests.tasks.detection.rules import RULES

GOOD = [annotation(at, label, 5, 5, 20, 20 + label) for at in (3, 4) for label in (3, 7)]
"""Boxes of both classes on the third and fourth photo."""


def _audit(folder: Path, *annotations: Any, names: int = 4) -> Audit:
    for at in range(1, names + 1):
        write_photo(folder / f"{at}.jpg")
    path = write_coco(
        folder / "x.json", [f"{at}.jpg" for at in range(1, names + 1)], [*annotations, *GOOD]
    )
    return audit_dataset(Dataset.open(path), RULES)


def _only_fault(audit: Audit) -> Any:
    assert len(audit.faults) == 1, audit.faults
    return audit.faults[0]


@pytest.mark.parametrize(
    ("box", "kind", "sentence"),
    [
        (
            (10, 10, 0, 5),
            "no area",
            "1 box with no area: 1.jpg (cat at 10, 10, 10, 15; the photo has 64x48)",
        ),
        (
            (30, 10, -20, 5),
            "swapped corners",
            "1 box whose right or bottom edge comes before the left or top one: 1.jpg (cat at 30, "
            "10, 10, 15; the photo has 64x48)",
        ),
        (
            (100, 10, 10, 10),
            "outside",
            "1 box entirely outside the photo: 1.jpg (cat at 100, 10, 110, 20; the photo has "
            "64x48)",
        ),
        (
            (40, 10, 70, 10),
            "overhanging",
            "1 box that extends beyond the photo: 1.jpg (cat at 40, 10, 110, 20; the photo has "
            "64x48)",
        ),
    ],
)
def test_a_box_that_cannot_be_is_a_fault(
    tmp_path: Path, box: tuple[float, ...], kind: str, sentence: str
) -> None:
    fault = _only_fault(_audit(tmp_path, annotation(1, 7, *box)))
    assert fault.kind == kind
    assert fault.text.startswith(sentence)


def test_the_box_is_left_out_and_its_photo_kept(tmp_path: Path) -> None:
    audit = _audit(
        tmp_path,
        annotation(1, 7, 10, 10, 0, 5),
        annotation(1, 7, 1, 1, 9, 9),
        annotation(2, 3, 40, 10, 70, 10),
    )
    with pytest.raises(DatasetError, match="or leave those labels out with --skip-broken"):
        audit.raise_faults()
    left = audit.without_faults()
    assert len(left) == 4
    assert [len(image.annotation) for image in left.images] == [1, 1, 2, 2]
    assert left.images[1].annotation.xyxy.tolist() == [[40, 10, 64, 20]]
    again = Dataset(left.root, left.classes, left.images, task="detection")
    assert list(faults(again)) == []


def test_the_same_box_twice_is_left_out_once(tmp_path: Path) -> None:
    audit = _audit(
        tmp_path,
        annotation(1, 7, 1, 1, 9, 9),
        annotation(1, 7, 1, 1, 9, 9),
        annotation(1, 3, 1, 1, 9, 9),
    )
    fault = _only_fault(audit)
    assert fault.kind == "same box twice"
    assert "1 box that repeats another of the same photo and class: 1.jpg" in fault.text
    assert len(audit.without_faults().images[0].annotation) == 2
    assert any("has the same corners as one of another class" in note for note in audit.notes)


def test_shares_where_pixels_are_expected_are_a_fault(tmp_path: Path) -> None:
    fault = _only_fault(_audit(tmp_path, annotation(1, 7, 0.25, 0.25, 0.5, 0.5)))
    assert fault.kind == "normalised"
    assert "all boxes of 1 photo lie between 0 and 1" in fault.text
    assert "convert them to pixels: 1.jpg" in fault.text
    assert [image.path.name for image in fault.left_out] == ["1.jpg"]


def test_corners_in_place_of_width_and_height_are_hinted_at(tmp_path: Path) -> None:
    fault = _only_fault(_audit(tmp_path, annotation(1, 7, 30, 30, 60, 45)))
    assert "They would all fit if the last two numbers were the right and bottom edge" in fault.text
    other = _only_fault(_audit(tmp_path, annotation(1, 7, 40, 10, 70, 10)))
    assert "They would" not in other.text


@pytest.mark.parametrize(
    ("box", "times", "sentence"),
    [
        ((0.25, 0.25, 0.5, 0.5), 1, "lie between 0 and 1"),
        ((30, 10, -20, 5), 1, "whose right or bottom edge comes before the left or top one"),
        ((30, 30, 60, 45), 9, "They would all fit if the last two numbers were"),
        ((30, 30, 60, 45), 1, ""),
        ((10, 10, 0, 5), 9, ""),
    ],
)
def test_boxes_that_were_misread_are_not_evaluated(
    tmp_path: Path, box: tuple[float, ...], times: int, sentence: str
) -> None:
    write_photo(tmp_path / "1.jpg")
    path = write_coco(tmp_path / "x.json", ["1.jpg"], [annotation(1, 7, *box)] * times)
    dataset = Dataset.open(path)
    if not sentence:
        few = [annotation(1, label, 5, 5, 20, 20) for label in (3, 7)]
        dataset = Dataset.open(write_coco(path, ["1.jpg"], [*few, annotation(1, 7, *box)]))
        assert list(misread_boxes(dataset)) == []
        return
    (text,) = misread_boxes(dataset)
    assert sentence in text
    manifest = SimpleNamespace(classes=dataset.classes, decoding={})
    with pytest.raises(DatasetError, match="1 fault in its boxes; fix them:"):
        evaluate(manifest, dataset, [])


def test_a_class_without_boxes_is_a_fault_and_left_out(tmp_path: Path) -> None:
    write_photo(tmp_path / "1.jpg")
    write_photo(tmp_path / "2.jpg")
    boxes = [annotation(at, label, label, 1, 9, 9) for at in (1, 2) for label in (7, 5)]
    categories = [{"id": at, "name": name} for at, name in ((7, "cat"), (5, "ant"), (3, "dog"))]
    names = ["1.jpg", "2.jpg"]
    path = write_coco(tmp_path / "x.json", names, boxes, categories=categories)
    audit = audit_dataset(Dataset.open(path), RULES)
    assert _only_fault(audit).text == (
        "class 'dog' has no boxes; it needs some on at least two photos"
    )
    assert audit.without_faults().classes == ("cat", "ant")
    boxes.append(annotation(1, 3, 1, 1, 9, 9))
    (fault,) = faults(Dataset.open(write_coco(path, names, boxes, categories=categories)))
    assert fault.text.startswith("class 'dog' has boxes on one photo only")


def test_a_class_that_train_lacks_is_a_fault(tmp_path: Path) -> None:
    for at in range(4):
        write_photo(tmp_path / f"{at}.jpg")
    cats, dogs = ([annotation(at, label, 1, 1, 9, 9) for at in (1, 2)] for label in (7, 3))
    write_coco(tmp_path / "train.json", ["0.jpg", "1.jpg"], cats)
    write_coco(tmp_path / "val.json", ["2.jpg", "3.jpg"], dogs)
    (fault,) = faults(Dataset.open(tmp_path))
    assert fault.text == "nothing to train on: class 'dog' has no boxes in train"


def test_a_broken_file_is_a_fault_among_the_others(tmp_path: Path) -> None:
    for at in range(1, 5):
        write_photo(tmp_path / f"{at}.jpg")
    (tmp_path / "1.jpg").write_bytes(b"broken")
    boxes = [annotation(2, 7, 10, 10, 0, 5), annotation(1, 7, 1, 1, 1, 1), *GOOD]
    path = write_coco(tmp_path / "x.json", [f"{at}.jpg" for at in range(1, 5)], boxes)
    audit = audit_dataset(Dataset.open(path), RULES)
    assert [fault.kind for fault in audit.faults] == ["unreadable", "no area"]
    assert [image.path.name for image in audit.without_faults().images] == [
        "2.jpg", "3.jpg", "4.jpg"
    ]  # fmt: skip


def test_photos_without_boxes_are_kept_and_counted(tmp_path: Path) -> None:
    audit = _audit(tmp_path)
    assert audit.faults == ()
    assert any(
        note.startswith("2 photos without boxes are kept as negatives") for note in audit.notes
    )
    assert len(audit.without_faults()) == 4


def test_boxes_and_crowds_are_counted(tmp_path: Path) -> None:
    audit = _audit(tmp_path, annotation(1, 7, 1, 1, 60, 40, iscrowd=1))
    assert "4 boxes: 2 cat, 2 dog." in audit.notes
    assert "1 crowd box is neither trained on nor counted." in audit.notes


def test_copies_with_other_boxes_are_named(tmp_path: Path) -> None:
    _audit(tmp_path)
    (tmp_path / "3.jpg").write_bytes((tmp_path / "4.jpg").read_bytes())
    content = (tmp_path / "x.json").read_text()
    (tmp_path / "x.json").write_text(content.replace("[5, 5, 20, 23]", "[6, 5, 20, 23]", 1))
    audit = audit_dataset(Dataset.open(tmp_path / "x.json"), RULES)
    assert any(
        "1 photo is there as exact copies with different" in note
        and note.endswith("3.jpg = 4.jpg.")
        for note in audit.notes
    )


def test_boxes_that_no_cell_sees_are_counted(tmp_path: Path) -> None:
    # At 320x320, a photo of 64x48 is stretched by 5 and 6.7.
    audit = _audit(tmp_path, annotation(1, 7, 1, 0, 0.5, 0.5), annotation(1, 7, 0, 0, 1, 1))
    assert any(
        "1 of 6 boxes (16.7%) are too small to be learned at an input of 320x320" in note
        for note in audit.notes
    )


def test_a_box_is_seen_where_a_centre_of_any_stride_lies_in_it() -> None:
    def unseen(*box: float) -> int:
        return count_unseen([Boxes.make([box], [0], size=(320, 320))], 320, 320)

    assert unseen(3, 3, 5, 5) == 0  # the centre at 4, 4
    assert unseen(4, 4, 7.9, 7.9) == 1  # a centre on the edge is not inside
    assert unseen(7, 7, 9, 9) == 0  # the centre of a cell of stride 16
    assert unseen(5, 3, 7, 5) == 1
    assert unseen(15, 15, 17, 17) == 0  # the centre of a cell of stride 32


def test_the_count_of_unseen_boxes_agrees_with_every_cell_looked_at() -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 300, (300, 2))
    xyxy = np.concatenate([corners, corners + generator.uniform(1, 12, (300, 2))], axis=1)
    boxes = Boxes.make(xyxy, np.zeros(300), size=(320, 320))
    seen = np.zeros(300, bool)
    for stride in (8, 16, 32, 64):
        for x in np.arange(stride / 2, 320, stride):
            for y in np.arange(stride / 2, 320, stride):
                left, top, right, bottom = boxes.xyxy.T
                seen |= (left < x) & (x < right) & (top < y) & (y < bottom)
    assert count_unseen([boxes], 320, 320) == int((~seen).sum())


def test_notes_of_good_boxes_are_their_numbers_alone(tmp_path: Path) -> None:
    for at in range(1, 5):
        write_photo(tmp_path / f"{at}.jpg")
    path = write_coco(tmp_path / "x.json", ["3.jpg", "4.jpg"], [
        annotation(at, label, 5, 5, 20, 20 + label) for at in (1, 2) for label in (3, 7)
    ])  # fmt: skip
    assert list(notes(Dataset.open(path))) == ["4 boxes: 2 cat, 2 dog."]
