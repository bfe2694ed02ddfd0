"""Measures of multi-label data: average precisions, thresholds, and counts at thresholds.

Arrays of marks are (N, labels) int8: 1 where the image shows the label, 0 where it does not, -1
where it is unknown and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import PRESENT, UNKNOWN, Marks
from pplcnet.data.dataset import LabelledImage
from pplcnet.metrics.average_precision import average_precision, last_of_equals

__all__ = [
    "DEFAULT_THRESHOLD",
    "average_precisions",
    "choose_threshold",
    "choose_thresholds",
    "counts_at",
    "marks_of",
    "mean_average_precision",
]

DEFAULT_THRESHOLD = 0.5


def marks_of(images: Sequence[LabelledImage], labels: int) -> NDArray[np.int8]:
    """(N, labels) marks of the images, in their order."""
    marks = [cast(Marks, image.annotation).values for image in images]
    return np.asarray(marks, np.int8).reshape(len(marks), labels)


def average_precisions(
    scores: NDArray[np.floating], marks: NDArray[np.int8]
) -> NDArray[np.float64]:
    """Average precision of every label over the images for which it is known, (labels,)."""
    known = marks != UNKNOWN
    return np.asarray(
        [
            average_precision(scores[known[:, at], at], marks[known[:, at], at] == PRESENT)
            for at in range(marks.shape[1])
        ]
    )


def mean_average_precision(scores: NDArray[np.floating], marks: NDArray[np.int8]) -> float:
    """mAP: the mean average precision of the labels that some image shows; 0 for none.

    Scores are (N, labels). Only the order of a label's scores matters, so logits work as well as
    probabilities.
    """
    values = average_precisions(scores, marks)
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0


def choose_threshold(probabilities: NDArray[np.floating], is_shown: NDArray[np.bool_]) -> float:
    """The threshold with the best F1 on these images; 0.5 if none shows the label.

    It lies midway between the lowest probability above it and the highest below. Ties go to the
    threshold nearest to 0.5.

    Args:
        probabilities: (M,) of images that were not trained on.
        is_shown: (M,)
    """
    if not is_shown.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-probabilities, kind="stable")
    ranked = np.asarray(probabilities, np.float64)[order]
    last = last_of_equals(ranked)
    f1 = 2 * np.cumsum(is_shown[order])[last] / (last + 1 + is_shown.sum())
    middles = (ranked[last] + np.append(ranked, 0.0)[last + 1]) / 2
    best = middles[f1 >= f1.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - DEFAULT_THRESHOLD))])


def choose_thresholds(probabilities: NDArray[np.floating], marks: NDArray[np.int8]) -> list[float]:
    """`choose_threshold` for every label, on the images where it is known."""
    known = marks != UNKNOWN
    return [
        choose_threshold(probabilities[known[:, at], at], marks[known[:, at], at] == PRESENT)
        for at in range(marks.shape[1])
    ]


def counts_at(
    is_answered: NDArray[np.bool_], marks: NDArray[np.int8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Counts for every label (labels,): true positives, predictions, and images that show it."""
    is_shown, answered = marks == PRESENT, is_answered & (marks != UNKNOWN)
    return (answered & is_shown).sum(axis=0), answered.sum(axis=0), is_shown.sum(axis=0)
