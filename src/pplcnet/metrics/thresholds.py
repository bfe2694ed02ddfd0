"""Probability thresholds, and the precision of the answers above them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.metrics.intervals import Interval, wilson

__all__ = ["FEW_ANSWERS", "Threshold", "kept_precision", "measured", "threshold_for"]

LEAST_DECIMALS = 4
FEW_ANSWERS = 20
"""Pages mark a threshold that was chosen on fewer answers."""


class Threshold(NamedTuple):
    """Precision and coverage if only answers above a probability are accepted."""

    threshold: float
    precision: float
    """The share of the accepted answers that are right; 0 if none is accepted."""
    interval: Interval
    """Wilson's 95 % interval of the precision."""
    coverage: float
    """The share of all answers that are accepted."""
    answered: int


def threshold_for(
    wanted: float, confidences: NDArray[np.floating], is_right: NDArray[np.bool_]
) -> float | None:
    """The lowest threshold at which the answers reach a precision; None if there is none.

    Answers of equal probability are accepted together. The threshold is shortened to the fewest
    decimals, at least four, that accept the same answers, so the number on a page holds exactly.

    Args:
        wanted: precision, 0 to 1.
        confidences: (N,) probabilities of the answers.
        is_right: (N,) whether the answer is the label.
    """
    values, precision, _ = kept_precision(confidences, is_right)
    reached = np.nonzero(precision >= wanted)[0]
    if not len(reached):
        return None
    at = reached[-1]
    below = float(values[at + 1]) if at + 1 < len(values) else -np.inf
    return _short_between(below, float(values[at]))


def _short_between(low: float, high: float) -> float:
    """`high`, cut to the fewest decimals, at least four, that stay above `low`."""
    exact = Decimal(repr(high))
    for digits in range(LEAST_DECIMALS, -int(exact.as_tuple().exponent)):
        found = float(exact.quantize(Decimal(1).scaleb(-digits), ROUND_DOWN))
        if found > low:
            return found
    return high


def measured(
    threshold: float, confidences: NDArray[np.floating], is_right: NDArray[np.bool_]
) -> Threshold:
    """Precision and coverage of the answers whose probability is at least `threshold`."""
    kept = np.asarray(confidences) >= threshold
    answered, right = int(kept.sum()), int(np.asarray(is_right)[kept].sum())
    return Threshold(
        threshold,
        right / max(answered, 1),
        wilson(right, answered),
        answered / max(len(kept), 1),
        answered,
    )


def kept_precision(
    confidences: NDArray[np.floating], is_right: NDArray[np.bool_] | Sequence[bool]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Every possible threshold, descending, with the precision and coverage of what it keeps.

    Each is (thresholds,); equal probabilities share one threshold.
    """
    values = np.asarray(confidences, np.float64)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    counted = np.arange(1, len(values) + 1)
    precision = np.cumsum(np.asarray(is_right, bool)[order]) / counted
    # A threshold cannot lie between equal probabilities.
    last = np.append(np.diff(values) != 0, True)[: len(values)]
    return values[last], precision[last], (counted / max(len(values), 1))[last]
