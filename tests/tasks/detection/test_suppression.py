"""Suppression: which of many overlapping boxes are kept."""

from __future__ import annotations

import numpy as np

from pplcnet.tasks.detection.suppression import overlaps, suppress

SQUARE = [0, 0, 10, 10]


def _boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_a_box_that_overlaps_a_better_one_is_dropped() -> None:
    boxes = _boxes(SQUARE, [0, 0, 10, 9], [20, 0, 30, 10])
    kept = suppress(boxes, np.array([[0.5], [0.9], [0.3]], np.float32))
    assert kept.confidence.tolist() == np.float32([0.9, 0.3]).tolist()
    assert kept.xyxy.tolist() == [[0, 0, 10, 9], [20, 0, 30, 10]]


def test_an_overlap_of_just_the_threshold_stays() -> None:
    boxes = _boxes(SQUARE, [0, 0, 10, 6])
    scores = np.array([[0.9], [0.8]], np.float32)
    assert len(suppress(boxes, scores, iou_threshold=0.6).class_id) == 2
    assert len(suppress(boxes, scores, iou_threshold=0.59).class_id) == 1


def test_classes_do_not_suppress_each_other() -> None:
    scores = np.array([[0.9, 0.2], [0.1, 0.8]], np.float32)
    kept = suppress(_boxes(SQUARE, SQUARE), scores)
    assert list(zip(kept.class_id.tolist(), kept.confidence.round(1).tolist(), strict=True)) == [
        (0, np.float32(0.9)), (1, np.float32(0.8))
    ]  # fmt: skip


def test_a_score_of_just_the_threshold_is_not_enough() -> None:
    scores = np.array([[0.5], [0.25]], np.float32)
    kept = suppress(_boxes(SQUARE, [20, 20, 30, 30]), scores, score_threshold=0.25)
    assert kept.confidence.tolist() == [0.5]


def test_the_best_of_all_classes_are_kept_up_to_a_number() -> None:
    boxes = np.array([[20 * at, 0, 20 * at + 10, 10] for at in range(50)], np.float32)
    scores = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    kept = suppress(boxes, scores, most=7)
    assert kept.confidence.tolist() == np.sort(scores.ravel())[::-1][:7].tolist()
    looked_at = suppress(boxes, scores, candidates=2)
    assert len(looked_at.class_id) == 6


def test_nothing_is_kept_of_nothing() -> None:
    kept = suppress(np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32))
    assert kept.xyxy.shape == (0, 4)
    assert kept.class_id.shape == kept.confidence.shape == (0,)


def test_overlaps_are_shares_of_the_union_or_of_the_first_box() -> None:
    one, other = _boxes(SQUARE, [0, 0, 0, 0]), _boxes([5, 0, 15, 10], [50, 50, 60, 60])
    assert np.allclose(overlaps(one, other), [[1 / 3, 0], [0, 0]])
    assert np.allclose(overlaps(one, other, of_one=True), [[0.5, 0], [0, 0]])
