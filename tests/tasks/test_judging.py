"""What a faster network has lost, for one label a photo and for several."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.tasks.judging import Judge

REFERENCE = np.array([[3, 1], [2, 0], [1, 2], [0, 3]], np.float32)


def test_of_one_label_a_photo_it_is_top1() -> None:
    judge = Judge(np.array([0, 0, 1, 1]), None)
    assert judge.loss(REFERENCE, REFERENCE) == (0.0, "top-1")
    assert judge.loss(REFERENCE[:, ::-1], REFERENCE) == (1.0, "top-1")


def test_of_several_labels_a_ranking_that_holds_is_not_enough() -> None:
    marks = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.int8)
    judge = Judge(marks, np.array([1.5, 1.5]))
    assert judge.loss(REFERENCE, REFERENCE) == (0.0, "the labels that are right")
    lower = REFERENCE - 1  # mAP is the same, and nothing of 2 reaches its threshold any more
    assert judge.accuracy(lower) == judge.accuracy(REFERENCE)
    assert judge.loss(lower, REFERENCE) == (0.25, "the labels that are right")
    swapped = REFERENCE[:, ::-1]
    drop, what = judge.loss(swapped, REFERENCE)
    assert drop == 1.0
    assert what == "the labels that are right"


def test_unknown_labels_do_not_count() -> None:
    marks = np.array([[1, -1], [1, -1], [0, 1], [0, 1]], np.int8)
    judge = Judge(marks, np.array([1.5, 1.5]))
    changed = REFERENCE.copy()
    changed[:2, 1] = 9
    assert judge.loss(changed, REFERENCE)[0] == 0.0


@pytest.mark.parametrize("cuts", [None, np.array([1.5, 1.5])])
def test_no_numbers_are_no_good(cuts: np.ndarray | None) -> None:
    labels = np.array([0, 0, 1, 1]) if cuts is None else np.eye(2, dtype=np.int8)[[0, 0, 1, 1]]
    broken = np.full_like(REFERENCE, np.nan)
    assert not Judge(labels, cuts).loss(broken, REFERENCE)[0] <= 0.005
