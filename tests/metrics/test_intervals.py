"""Confidence intervals against scipy, their own equation and the figures that they hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from pplcnet.metrics.intervals import f1_interval, wilson


@pytest.mark.parametrize(("right", "count"), [(8, 10), (0, 10), (10, 10), (319, 372), (1, 1)])
def test_wilson_interval_is_that_of_scipy(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_solves_its_own_equation() -> None:
    # Its ends p are where |observed - p| is 1.96 standard errors of p.
    for end in wilson(37, 120):
        assert abs(37 / 120 - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / 120))


def test_nothing_tried_says_nothing() -> None:
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize("counts", [(8, 10, 12), (0, 5, 3), (5, 5, 5), (0, 0, 0)])
def test_f1_lies_in_its_interval(counts: tuple[int, int, int]) -> None:
    right, actual, answered = counts
    low, high = f1_interval(right, actual, answered)
    assert 0 <= low <= 2 * right / max(actual + answered, 1) <= high <= 1
