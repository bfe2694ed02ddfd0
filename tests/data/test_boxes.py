"""Boxes as an annotation: compared by value, renumbered, written to a table and read back."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.data.annotations import Boxes

CLASSES = ("cat", "dog", "Maß")
TWO = Boxes.make([[0.1, 2, 30.7, 40], [5, 6, 7, 8.25]], [0, 2], size=(64, 48))


def test_equal_boxes_are_equal_and_hash_alike() -> None:
    same = Boxes.make(TWO.xyxy.copy(), [0, 2], size=(64, 48))
    assert same == TWO
    assert len({same, TWO}) == 1
    assert Boxes.make(TWO.xyxy, [0, 1], size=(64, 48)) != TWO
    assert Boxes.make(TWO.xyxy, [0, 2], size=(64, 49)) != TWO
    assert Boxes.make(TWO.xyxy, [0, 2], [True, False], size=(64, 48)) != TWO


def test_the_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        TWO.xyxy[0] = 0


def test_a_crowd_shows_no_class() -> None:
    boxes = Boxes.make([[0, 0, 1, 1]] * 3, [2, 1, 2], [False, True, False])
    assert boxes.shown == (2,)
    assert boxes.to_text(CLASSES) == "1 dog, 2 Maß"


def test_an_image_without_boxes_keeps_its_place_when_classes_go() -> None:
    assert TWO.renumbered({0: 1}, 2) == Boxes.make([TWO.xyxy[0]], [1], size=(64, 48))
    assert len(TWO.renumbered({1: 0}, 1)) == 0


def test_copies_contradict_each_other_when_they_show_different_classes() -> None:
    moved = Boxes.make([[1, 1, 2, 2], [3, 3, 4, 4]], [2, 0], size=(64, 48))
    assert not Boxes.are_contradictory([TWO, moved])
    assert Boxes.are_contradictory([TWO, Boxes.make([], [], size=(64, 48))])


def test_a_row_of_a_table_gives_the_same_boxes_back() -> None:
    crowd = Boxes.make([[0.1, 2, 30.7, 40]], [1], [True], (64, 48))
    for boxes in (TWO, crowd, Boxes.make([], [], size=(9, 9))):
        cells = [str(each) for each in boxes.cells(CLASSES)]
        assert Boxes.from_cells(cells, CLASSES) == boxes
        assert boxes.facts(CLASSES) == cells[-1]
    assert TWO.cells(CLASSES)[-1] == '[[0.1,2.0,30.7,40.0,"cat"],[5.0,6.0,7.0,8.25,"Maß"]]'
    assert Boxes.classes_in(Boxes.columns(CLASSES), [list(map(str, TWO.cells(CLASSES)))]) == [
        "Maß", "cat"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "cell",
    ["", "[[1,2,3,4]]", '[[1,2,3,"x","cat"]]', '{"a":1}', '[[1,2,3,NaN,"cat"]]', "[" * 100000,
     '[[true,2,3,4,"cat"]]', '[[1,2,3,1e99,"cat"]]', '[[1,2,3,4,"horse"]]'],
)  # fmt: skip
def test_a_damaged_cell_is_refused(cell: str) -> None:
    with pytest.raises(
        ValueError, match=r"not a list of boxes|no boxes|Expecting value|not one of the classes"
    ):
        Boxes.from_cells(["64", "48", cell], CLASSES)


def test_a_table_without_boxes_is_none() -> None:
    with pytest.raises(ValueError, match="no column 'boxes'"):
        Boxes.classes_in(["label"], [["cat"]])
    assert np.array_equal(Boxes.make([], []).xyxy, np.empty((0, 4), np.float32))
