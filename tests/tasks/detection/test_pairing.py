"""Which of the boxes that are shown are right, mistaken or invented, and which are missed."""

from __future__ import annotations

import pytest

from pplcnet.tasks.detection.pairing import pair_boxes, shown_from
from tests.tasks.detection.boxes import found, true

CAT, DOG = (0, 0, 0, 50, 50), (1, 100, 0, 150, 50)


def test_each_kind_of_answer() -> None:
    pairing = pair_boxes(
        true(CAT, DOG, (0, 300, 300, 340, 340)),
        found((0, 0.9, 0, 0, 50, 45), (0, 0.8, 100, 0, 150, 50), (1, 0.7, 200, 200, 250, 250)),
    )
    assert pairing.partner.tolist() == [0, 1, -1]
    assert pairing.is_right.tolist() == [True, False, False]
    assert pairing.is_mistaken.tolist() == [False, True, False]
    assert pairing.is_invented.tolist() == [False, False, True]
    assert pairing.is_missed.tolist() == [False, False, True]
    assert pairing.f1 == pytest.approx(2 / 6)


def test_a_second_box_on_the_same_object_is_invented() -> None:
    pairing = pair_boxes(true(CAT), found((0, 0.6, 0, 0, 50, 50), (0, 0.9, 0, 0, 50, 40)))
    assert pairing.partner.tolist() == [-1, 0]
    assert pairing.is_invented.tolist() == [True, False]


def test_the_class_decides_before_confidence_does() -> None:
    pairing = pair_boxes(true(CAT), found((1, 0.9, 0, 0, 50, 50), (0, 0.5, 0, 0, 50, 40)))
    assert pairing.is_right.tolist() == [False, True]
    assert pairing.is_invented.tolist() == [True, False]


def test_a_crowd_is_not_missed_and_what_lies_in_it_is_ignored() -> None:
    pairing = pair_boxes(
        true((0, 0, 0, 200, 200), crowd=(0,)),
        found((0, 0.9, 10, 10, 50, 50), (1, 0.9, 10, 10, 50, 50)),
    )
    assert pairing.is_ignored.tolist() == [True, False]
    assert pairing.is_invented.tolist() == [False, True]
    assert pairing.is_missed.tolist() == [False]


def test_nothing_found_where_nothing_is_is_right() -> None:
    assert pair_boxes(true(), found()).f1 == 1
    assert pair_boxes(true(CAT), found()).f1 == 0
    assert pair_boxes(true(), found((0, 0.9, 0, 0, 9, 9))).f1 == 0


def test_a_box_is_shown_from_its_confidence_on() -> None:
    shown = shown_from(found((0, 0.5, 0, 0, 9, 9), (1, 0.25, 0, 0, 9, 9)), 0.5)
    assert shown.class_id.tolist() == [0]
