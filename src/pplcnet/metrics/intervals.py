"""Figures of a report: intervals, reliability by bins, thresholds that reach a precision."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEW_ANSWERS",
    "ClassIntervals",
    "Interval",
    "Reliability",
    "Threshold",
    "f1_interval",
    "kept_precision",
    "measured",
    "reliability",
    "threshold_for",
    "wilson",
]

# The normal distribution's 97.5 % point.
Z95 = 1.959963984540054
LEAST_DECIMALS = 4
FEW_ANSWERS = 20
"""A threshold that rests on fewer answers says so."""


class Interval(NamedTuple):
    """A 95 % confidence interval of a proportion."""

    low: float
    high: float


def wilson(successes: float, trials: float) -> Interval:
    """Wilson's score interval (Wilson 1927) at 95 %; 0 to 1 where nothing was tried."""
    if trials <= 0:
        return Interval(0.0, 1.0)
    part, squared = successes / trials, Z95**2
    centre = (part + squared / (2 * trials)) / (1 + squared / trials)
    half = (
        Z95
        * np.sqrt(part * (1 - part) / trials + squared / (4 * trials**2))
        / (1 + squared / trials)
    )
    # Rounding must not leave the proportion itself outside.
    return Interval(
        max(0.0, min(float(centre - half), part)), min(1.0, max(float(centre + half), part))
    )


def f1_interval(right: float, actual: float, answered: float) -> Interval:
    """A 95 % interval of one class's F1.

    F1 = 2 J / (1 + J), where J is the part that is right of the photos that have the class or were
    answered so. J is a proportion; its Wilson interval goes through the same formula.
    """
    ends = wilson(right, actual + answered - right)
    return Interval(*(2 * end / (1 + end) for end in ends))


class ClassIntervals(NamedTuple):
    """95 % intervals of one class's figures."""

    precision: Interval
    recall: Interval
    f1: Interval


class Reliability(NamedTuple):
    """Photos sorted into bins of equal width by the probability of their answer; each (bins,)."""

    confidence: NDArray[np.float64]
    """Mean probability; 0 in an empty bin."""
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]


def reliability(
    confidences: NDArray[np.floating], is_right: NDArray[np.bool_], bins: int = 15
) -> Reliability:
    """The points of a reliability diagram, in the bins of the expected calibration error."""
    place = np.minimum((np.asarray(confidences) * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    return Reliability(
        np.bincount(place, confidences, bins) / filled,
        np.bincount(place, is_right, bins) / filled,
        counts,
    )


class Threshold(NamedTuple):
    """What answering only above a probability means on some photos."""

    threshold: float
    precision: float
    """The part of the answered photos that is right; 0 where none is answered."""
    interval: Interval
    """Of the precision, 95 %."""
    coverage: float
    """The part of all photos that is answered."""
    answered: int


def threshold_for(
    wanted: float, confidences: NDArray[np.floating], is_right: NDArray[np.bool_]
) -> float | None:
    """A probability from which on the answers reach a precision, and as many photos as can be.

    Photos of equal probability are answered together. None where no threshold reaches it. The
    number has as few decimals, from four on, as part the answered photos from the others: what a
    page prints does on these photos what it says.

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
    """`high`, cut to as few decimals, from four on, as stay above `low`."""
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
    """Every possible threshold, descending; precision and coverage of what it keeps."""
    values = np.asarray(confidences, np.float64)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    counted = np.arange(1, len(values) + 1)
    precision = np.cumsum(np.asarray(is_right, bool)[order]) / counted
    # Of equal probabilities only the last is a place to stop.
    last = np.append(np.diff(values) != 0, True)[: len(values)]
    return values[last], precision[last], (counted / max(len(values), 1))[last]
