"""95 % confidence intervals of proportions, and of figures derived from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["ClassIntervals", "Interval", "f1_interval", "wilson"]

# The normal distribution's 97.5 % point.
Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A 95 % confidence interval of a proportion."""

    low: float
    high: float


def wilson(successes: float, trials: float) -> Interval:
    """Wilson's 95 % score interval (Wilson 1927); 0 to 1 if there are no trials."""
    if trials <= 0:
        return Interval(0.0, 1.0)
    share, squared = successes / trials, Z95**2
    centre = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = (
        Z95
        * np.sqrt(share * (1 - share) / trials + squared / (4 * trials**2))
        / (1 + squared / trials)
    )
    # Rounding must not exclude the proportion itself.
    return Interval(
        max(0.0, min(float(centre - half), share)), min(1.0, max(float(centre + half), share))
    )


def f1_interval(right: float, actual: float, answered: float) -> Interval:
    """A 95 % interval of one class's F1.

    F1 = 2 J / (1 + J) with J = TP / (TP + FP + FN). J is a proportion, so the same formula maps the
    ends of its Wilson interval to those of F1.

    Args:
        right: true positives.
        actual: images that have the class.
        answered: images for which the class was predicted.
    """
    ends = wilson(right, actual + answered - right)
    return Interval(*(2 * end / (1 + end) for end in ends))


class ClassIntervals(NamedTuple):
    """95 % intervals of one class's figures."""

    precision: Interval
    recall: Interval
    f1: Interval
