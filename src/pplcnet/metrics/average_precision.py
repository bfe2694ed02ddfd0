"""Average precision of one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precision", "last_of_equals"]


def average_precision(scores: NDArray[np.floating], is_shown: NDArray[np.bool_]) -> float:
    """Average precision: the mean precision over the steps at which recall rises.

    Sum of (R_n - R_(n-1)) P_n without interpolation; images of equal score count together, as in
    scikit-learn's `average_precision_score`. NaN if no image shows the label.

    Args:
        scores: (M,) in any scale.
        is_shown: (M,)
    """
    if not is_shown.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_shown[order])
    last = last_of_equals(scores[order])
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def last_of_equals(ranked: NDArray[np.floating]) -> NDArray[np.int64]:
    """For numbers in descending order, the last index of each run of equal ones."""
    return np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
