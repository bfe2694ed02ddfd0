"""Figures of known against unknown, by hand and against scikit-learn's definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pplcnet.metrics.open_set import (
    area_under_roc,
    average_precision_at_r,
    cautious_threshold,
    false_acceptance_at,
    open_set_curve,
)


def _scores(seed: int, known: int = 200, unknown: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return (
        generator.normal(1, 1, known).round(1).astype(np.float32),
        generator.normal(0, 1, unknown).round(1).astype(np.float32),
    )


def test_the_area_counts_pairs_and_ties_half() -> None:
    assert area_under_roc(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == (2 + 0.5) / 4
    known, unknown = _scores(0)
    pairs = (known[:, None] > unknown).mean() + (known[:, None] == unknown).mean() / 2
    assert area_under_roc(known, unknown) == pytest.approx(pairs)
    assert area_under_roc(unknown, known) == pytest.approx(1 - pairs)


def test_scikit_learn_agrees_on_the_area() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    known, unknown = _scores(1)
    truth = np.r_[np.ones(len(known)), np.zeros(len(unknown))]
    expected = metrics.roc_auc_score(truth, np.r_[known, unknown])
    assert area_under_roc(known, unknown) == pytest.approx(expected)


def test_nothing_can_be_said_without_either() -> None:
    some, none = np.array([1.0]), np.array([])
    for known, unknown in ((some, none), (none, some)):
        assert area_under_roc(known, unknown) is None
        assert false_acceptance_at(known, unknown) is None
        assert open_set_curve(known, unknown) == []


def test_false_acceptance_is_taken_where_enough_known_pass() -> None:
    known = np.arange(1.0, 21.0)  # 19 of 20 are at least 2
    assert false_acceptance_at(known, np.array([0.5, 1.5, 2.0, 30.0])) == 0.5
    assert false_acceptance_at(known, np.array([0.5, 1.0, 30.0]), accepted=1.0) == 2 / 3


def test_a_curve_falls_from_nothing_to_everything() -> None:
    known, unknown = _scores(2)
    curve = open_set_curve(known, unknown, points=11)
    assert len(curve) <= 11
    for before, after in pairwise(curve):
        assert after.threshold <= before.threshold
        assert after.known >= before.known
        assert after.unknown >= before.unknown
    assert curve[-1][1:] == (1.0, 1.0)
    for point in curve:
        assert point.known == (known >= np.float32(point.threshold)).mean()


def test_a_cautious_threshold_keeps_its_promise_for_new_items() -> None:
    generator = np.random.default_rng(3)
    passed = []
    for _ in range(400):
        *seen, new = generator.normal(size=60).astype(np.float32)
        passed.append(new >= cautious_threshold(np.array(seen), 0.1))
    assert 0.06 < np.mean(passed) < 0.14
    items = np.arange(100, dtype=np.float32)
    assert (items >= cautious_threshold(items, 0.05)).sum() == 4


def test_too_few_items_to_promise_anything_let_nothing_pass() -> None:
    items = np.array([0.1, 0.7, 0.3], np.float32)
    threshold = cautious_threshold(items, 0.05)
    assert np.float32(0.7) < np.float32(threshold) < 0.7001
    assert cautious_threshold(items, 1.0) <= 0.1


def test_average_precision_at_r_by_hand() -> None:
    # Right at places 1 and 3 of R = 3: (1/1 + 2/3) / 3.
    found = np.array([True, False, True, True])
    assert average_precision_at_r(found, 3) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision_at_r(np.array([True, True, False]), 2) == 1.0
    assert average_precision_at_r(np.array([False]), 1) == 0.0
