"""Multi-label data: what is known of them, average precision, and thresholds.

Arrays of marks are (N, labels) int8: 1 where the photo shows the label, 0 where not, -1 where
nobody knows, which counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.data.layouts.csv_table import PRESENT, UNKNOWN

__all__ = [
    "DEFAULT_THRESHOLD",
    "average_precision",
    "average_precisions",
    "choose_threshold",
    "choose_thresholds",
    "counts_at",
    "marks_of",
    "mean_average_precision",
    "ratios_of",
]

DEFAULT_THRESHOLD = 0.5


def marks_of(dataset: Dataset, labels: Sequence[str] | None = None) -> NDArray[np.int8]:
    """(N, labels) of a multi-label data set, in the order of its images.

    With `labels`, in their order; those that the data set does not have are unknown.
    """
    marks = [image.marks for image in dataset.images]
    own = np.asarray(marks, np.int8).reshape(len(marks), len(dataset.classes))
    if labels is None:
        return own
    asked = np.full((len(marks), len(labels)), UNKNOWN, np.int8)
    asked[:, [labels.index(label) for label in dataset.classes]] = own
    return asked


def average_precision(scores: NDArray[np.floating], is_shown: NDArray[np.bool_]) -> float:
    """The mean of the precisions at which recall rises, photos taken from the highest score down.

    Sum of (R_n - R_(n-1)) P_n without interpolation; photos of the same score count together, as
    scikit-learn's `average_precision_score` has it. NaN when no photo shows the label.

    Args:
        scores: (M,) in any scale.
        is_shown: (M,)
    """
    if not is_shown.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_shown[order])
    last = _last_of_equals(scores[order])
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def average_precisions(
    scores: NDArray[np.floating], marks: NDArray[np.int8]
) -> NDArray[np.float64]:
    """Average precision of every label over the photos where it is known, (labels,)."""
    known = marks != UNKNOWN
    return np.asarray(
        [
            average_precision(scores[known[:, at], at], marks[known[:, at], at] == PRESENT)
            for at in range(marks.shape[1])
        ]
    )


def mean_average_precision(scores: NDArray[np.floating], marks: NDArray[np.int8]) -> float:
    """mAP: the mean of the average precisions of all labels that some photo shows; 0 for none.

    Scores are (N, labels); a strictly rising function of a label's scores changes nothing, so that
    logits serve as well as probabilities.
    """
    values = average_precisions(scores, marks)
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0


def choose_threshold(probabilities: NDArray[np.floating], is_shown: NDArray[np.bool_]) -> float:
    """The threshold of the best F1 on these photos; 0.5 when none shows the label.

    It lies in the middle between the lowest probability that is taken and the highest that is not.
    Of several with the same F1, the nearest to 0.5 is taken.

    Args:
        probabilities: (M,) of photos that were not trained on.
        is_shown: (M,)
    """
    if not is_shown.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-probabilities, kind="stable")
    ranked = np.asarray(probabilities, np.float64)[order]
    last = _last_of_equals(ranked)
    f1 = 2 * np.cumsum(is_shown[order])[last] / (last + 1 + is_shown.sum())
    middles = (ranked[last] + np.append(ranked, 0.0)[last + 1]) / 2
    best = middles[f1 >= f1.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - DEFAULT_THRESHOLD))])


def choose_thresholds(probabilities: NDArray[np.floating], marks: NDArray[np.int8]) -> list[float]:
    """`choose_threshold` for every label, on the photos where it is known."""
    known = marks != UNKNOWN
    return [
        choose_threshold(probabilities[known[:, at], at], marks[known[:, at], at] == PRESENT)
        for at in range(marks.shape[1])
    ]


def counts_at(
    is_answered: NDArray[np.bool_], marks: NDArray[np.int8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(right answers, answers, photos that show it) of every label, where it is known."""
    is_shown, answered = marks == PRESENT, is_answered & (marks != UNKNOWN)
    return (answered & is_shown).sum(axis=0), answered.sum(axis=0), is_shown.sum(axis=0)


def ratios_of(
    right: int, answers: int, shown: int
) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1 of one label or class, from `counts_at`.

    A ratio without a denominator is None: the precision of what is never answered, the recall of
    what no photo shows, and so the F1 of that.
    """
    return (
        right / answers if answers else None,
        right / shown if shown else None,
        2 * right / (answers + shown) if shown else None,
    )


def _last_of_equals(ranked: NDArray[np.floating]) -> NDArray[np.int64]:
    """Where, in falling numbers, a smaller one follows, and the end."""
    return np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
