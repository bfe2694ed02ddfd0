"""How well scores separate known from unknown, and how well a ranking retrieves relevant items."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CurvePoint",
    "area_under_roc",
    "average_precision_at_r",
    "cautious_threshold",
    "false_acceptance_at",
    "open_set_curve",
]

Scores = NDArray[np.floating]


def area_under_roc(known: Scores, unknown: Scores) -> float | None:
    """The probability that a known item scores higher than an unknown one; ties count half.

    Args:
        known: (N,) scores that should be high.
        unknown: (M,) scores that should be low.

    Returns:
        0 to 1; None if either is empty.
    """
    if not len(known) or not len(unknown):
        return None
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, "left")
    equal = np.searchsorted(ordered, known, "right") - below
    return float((below + equal / 2).sum() / (len(known) * len(unknown)))


def false_acceptance_at(known: Scores, unknown: Scores, accepted: float = 0.95) -> float | None:
    """The share of unknown items accepted when at least a share `accepted` of the known ones is.

    "FPR at 95 % TPR" in the literature (Liang et al. 2018). None if either is empty.
    """
    if not len(known) or not len(unknown):
        return None
    needed = math.ceil(accepted * len(known) - 1e-9)
    threshold = np.sort(known)[len(known) - needed] if needed else math.inf
    return float((unknown >= threshold).mean())


class CurvePoint(NamedTuple):
    """What one threshold accepts."""

    threshold: float
    known: float
    """The share of known items at or above it."""
    unknown: float
    """The share of unknown items at or above it."""


def open_set_curve(known: Scores, unknown: Scores, points: int = 101) -> list[CurvePoint]:
    """Thresholds from the highest score down, evenly spread over the scores; [] if one is empty."""
    if not len(known) or not len(unknown):
        return []
    every = np.sort(np.concatenate([known, unknown]))[::-1]
    chosen = np.unique(np.linspace(0, len(every) - 1, points).round().astype(int))
    return [
        CurvePoint(float(each), float((known >= each).mean()), float((unknown >= each).mean()))
        for each in every[chosen]
    ]


def cautious_threshold(unknown: Scores, rate: float) -> float:
    """The threshold at which at most a share `rate` of the unknown items is accepted.

    A new unknown item from the same distribution is accepted with a probability of at most `rate`:
    of N + 1 items in random order, at most floor(rate (N + 1)) lie above the threshold (conformal
    prediction, Vovk et al. 2005). If N is too small to guarantee that, no score up to the largest
    of these is accepted.

    Args:
        unknown: (N,) float32 scores, at least one.
        rate: 0 to 1.
    """
    ordered = np.sort(np.asarray(unknown, np.float32))[::-1]
    passing = math.floor(rate * (len(ordered) + 1) + 1e-9)
    if passing > len(ordered):
        return -1.0
    # Just above the first score that must not be accepted.
    return float(np.nextafter(ordered[max(passing - 1, 0)], np.float32(np.inf)))


def average_precision_at_r(is_relevant: NDArray[np.bool_], relevant: int) -> float:
    """AP@R (Musgrave et al. 2020) of one ranking; mAP@R is its mean over the queries.

    Args:
        is_relevant: for the ranking's items, best first; at least `relevant` of them.
        relevant: R, the number of relevant items, at least 1.
    """
    found = is_relevant[:relevant]
    precision = np.cumsum(found) / np.arange(1, len(found) + 1)
    return float((precision * found).sum() / relevant)
