"""How well scores tell known from unknown, and how well a ranking finds what belongs together."""

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
    """The chance that a known item has a higher score than an unknown one; ties count half.

    Args:
        known: (N,) scores of what should score high.
        unknown: (M,) scores of what should score low.

    Returns:
        0 to 1; None where either is empty.
    """
    if not len(known) or not len(unknown):
        return None
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, "left")
    equal = np.searchsorted(ordered, known, "right") - below
    return float((below + equal / 2).sum() / (len(known) * len(unknown)))


def false_acceptance_at(known: Scores, unknown: Scores, accepted: float = 0.95) -> float | None:
    """The share of the unknown that pass where at least a share `accepted` of the known do.

    "FPR at 95 % TPR" in the literature (Liang et al. 2018). None where either is empty.
    """
    if not len(known) or not len(unknown):
        return None
    needed = math.ceil(accepted * len(known) - 1e-9)
    threshold = np.sort(known)[len(known) - needed] if needed else math.inf
    return float((unknown >= threshold).mean())


class CurvePoint(NamedTuple):
    """What one threshold lets pass."""

    threshold: float
    known: float
    """The share of the known items at or above it."""
    unknown: float
    """The share of the unknown items at or above it."""


def open_set_curve(known: Scores, unknown: Scores, points: int = 101) -> list[CurvePoint]:
    """Thresholds from the highest score down, evenly spread over the scores; [] without either."""
    if not len(known) or not len(unknown):
        return []
    every = np.sort(np.concatenate([known, unknown]))[::-1]
    chosen = np.unique(np.linspace(0, len(every) - 1, points).round().astype(int))
    return [
        CurvePoint(float(each), float((known >= each).mean()), float((unknown >= each).mean()))
        for each in every[chosen]
    ]


def cautious_threshold(unknown: Scores, rate: float) -> float:
    """From which score on to accept, so that at most a share `rate` of the unknown is accepted.

    A new unknown item, drawn as these were, passes with a probability of at most `rate`: of N + 1
    items in random order, at most floor(rate (N + 1)) lie above the threshold (conformal
    prediction, Vovk et al. 2005). Where N is too small to promise that, nothing that scores as
    these did passes.

    Args:
        unknown: (N,) float32 scores, at least one.
        rate: 0 to 1.
    """
    ordered = np.sort(np.asarray(unknown, np.float32))[::-1]
    passing = math.floor(rate * (len(ordered) + 1) + 1e-9)
    if passing > len(ordered):
        return -1.0
    # Just above the first that must not pass.
    return float(np.nextafter(ordered[max(passing - 1, 0)], np.float32(np.inf)))


def average_precision_at_r(is_relevant: NDArray[np.bool_], relevant: int) -> float:
    """AP@R (Musgrave et al. 2020) of one ranking: mAP@R is its mean over the queries.

    Args:
        is_relevant: of the ranking's items, best first; at least `relevant` of them.
        relevant: R, how many relevant items there are, at least 1.
    """
    found = is_relevant[:relevant]
    precision = np.cumsum(found) / np.arange(1, len(found) + 1)
    return float((precision * found).sum() / relevant)
