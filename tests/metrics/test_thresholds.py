"""Thresholds that reach a precision keep what they promise, as they are printed."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.metrics.thresholds import kept_precision, measured, threshold_for
from pplcnet.system.wording import format_exact


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("wanted", [0.5, 0.9, 1.0])
def test_threshold_is_the_lowest_that_reaches_the_precision(seed: int, wanted: float) -> None:
    generator = np.random.default_rng(seed)
    confidences = generator.integers(1, 20, 60) / 20  # many are equal
    is_right = generator.random(60) < confidences
    able = [
        each for each in sorted(set(confidences)) if is_right[confidences >= each].mean() >= wanted
    ]
    threshold = threshold_for(wanted, confidences, is_right)
    assert threshold == (able[0] if able else None)
    if threshold is not None:
        found = measured(threshold, confidences, is_right)
        assert found.precision >= wanted
        assert found.answered == (confidences >= threshold).sum()
        assert found.coverage == found.answered / 60
        assert found.interval.low <= found.precision <= found.interval.high


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("sureness", [1, 30, 2000], ids=["unsure", "sure", "nearly all at 1"])
def test_a_printed_threshold_keeps_what_it_promises(
    seed: int, wanted: float, sureness: float
) -> None:
    generator = np.random.default_rng(seed)
    confidences = generator.random(300) ** (1 / sureness)
    is_right = generator.random(300) < 0.5 + confidences / 2
    is_right[confidences.argmax()] = True
    printed = float(format_exact(threshold_for(wanted, confidences, is_right)))
    assert measured(printed, confidences, is_right).precision >= wanted
    able = [each for each in confidences if is_right[confidences >= each].mean() >= wanted]
    assert (confidences >= printed).sum() == (confidences >= min(able)).sum()


@pytest.mark.parametrize(
    ("low", "high", "printed"),
    [
        (0.99300001, 0.99308, "0.99308"),
        (0.9928, 0.993075, "0.9930"),
        (0.99999, 0.9999999, "0.999999"),
        (0.5, 1.0, "1.0000"),
        (0.3, 0.55, "0.5500"),
        (1e-6, 1.5e-5, "0.00001"),
    ],
)
def test_a_threshold_has_as_many_decimals_as_it_needs(
    low: float, high: float, printed: str
) -> None:
    found = threshold_for(1, np.array([high, low]), np.array([True, False]))
    assert format_exact(found) == printed


def test_an_unreachable_precision_has_no_threshold() -> None:
    assert threshold_for(0.9, np.array([0.9, 0.8]), np.array([False, True])) is None


def test_coverage_ends_with_every_photo() -> None:
    values, precision, coverage = kept_precision(np.array([0.2, 0.9, 0.9]), [True, True, False])
    assert values.tolist() == [0.9, 0.2]
    assert precision.tolist() == pytest.approx([1 / 2, 2 / 3])
    assert coverage.tolist() == pytest.approx([2 / 3, 1])
