"""Multi-label figures: confidence intervals, and recall at a given precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import PRESENT, UNKNOWN
from pplcnet.metrics.intervals import ClassIntervals, Interval, f1_interval, wilson
from pplcnet.tasks.multilabel.evaluation import LabelEvaluation
from pplcnet.tasks.multilabel.measures import counts_at

__all__ = [
    "LEAST_PER_LABEL",
    "LEAST_PHOTOS",
    "LEAST_POSITIVES",
    "Predicted",
    "effective_positives",
    "label_intervals",
    "map_interval",
    "measured_above",
    "resampled_map",
]

RESAMPLES = 1000
LEAST_PHOTOS, LEAST_POSITIVES, LEAST_PER_LABEL = 50, 20, 5
"""With fewer images, or fewer effective positives in all or per label, intervals miss too often."""
# Resamples are counted in blocks of about this many numbers.
BLOCK = 2**21


def map_interval(
    scores: NDArray[np.floating],
    marks: NDArray[np.int8],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """A 95 % interval of the mAP: Wilson's, with variance and bias from a bootstrap over images.

    On few images mAP is biased upwards, since every image that shows a label is ranked among few
    others. A resample relates to the images as they do to the population, so the mean mAP of the
    resamples minus that of the images estimates the bias and is subtracted (Efron and Tibshirani
    1993, "An Introduction to the Bootstrap", 10.3); twice from the lower end, since resamples
    repeat images instead of drawing new ones and show only a part of the bias. Quantiles of the
    resamples cannot be the ends: near 1 hardly any of them differ. Wilson's score interval is used
    instead, with the number of trials for which an observed share would vary like the mAP of the
    resamples, at most `effective_positives` (after Boyd, Eng and Page 2013, "Area under the
    Precision-Recall Curve", 3, who take the images that show a label as trials).
    benchmarks/interval_coverage.py measures how often the interval holds the true value.

    None if no image shows a label, or so few do that the interval would miss too often. A resample
    skips the labels that none of its images shows, as mAP does. The interval lies within 0 to 1 and
    contains the mAP.

    Args:
        scores: (N, labels) in any scale.
        marks: (N, labels): 1 shown, 0 not shown, -1 unknown.
    """
    trials = effective_positives(marks)
    per_label = trials / max(1, int((marks == PRESENT).any(axis=0).sum()))
    if len(marks) < LEAST_PHOTOS or trials < LEAST_POSITIVES or per_label < LEAST_PER_LABEL:
        return None
    drawn = _resamples(scores, marks, resamples, seed)
    (own,) = resampled_map(scores, marks, np.ones((1, len(marks)), np.int64)).tolist()
    spread = float(drawn.var())
    if spread > 0:
        trials = min(trials, own * (1 - own) / spread)
    bias = float(drawn.mean()) - own
    low, high = (min(1.0, max(0.0, own - each)) for each in (max(bias, 2 * bias), bias))
    return Interval(
        min(own, wilson(low * trials, trials).low), max(own, wilson(high * trials, trials).high)
    )


def effective_positives(marks: NDArray[np.int8]) -> float:
    """The number of images showing a single label that would give as precise an mAP; 0 for none.

    The mean of K labels with n images each has a variance of 1 / K times the mean of 1 / n. That
    amounts to K^2 / sum(1 / n) images, over the labels that some image shows.
    """
    shown = (marks == PRESENT).sum(axis=0)
    shown = shown[shown > 0]
    return float(len(shown) ** 2 / (1 / shown).sum()) if len(shown) else 0.0


def _resamples(
    scores: NDArray[np.floating], marks: NDArray[np.int8], resamples: int, seed: int
) -> NDArray[np.float64]:
    """mAP of resamples of the images, at most (R,): those that show no label are left out."""
    count = len(marks)
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK // count)
    found = [
        resampled_map(
            scores,
            marks,
            generator.multinomial(
                count, np.full(count, 1 / count), size=min(block, resamples - start)
            ),
        )
        for start in range(0, resamples, block)
    ]
    every = np.concatenate(found)
    return every[np.isfinite(every)]


def resampled_map(
    scores: NDArray[np.floating], marks: NDArray[np.int8], times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """mAP of resamples, (R,); NaN if none of the drawn images shows a label.

    Args:
        scores: (N, labels)
        marks: (N, labels)
        times: (R, N) how often each image was drawn.
    """
    total, labels = np.zeros(len(times)), np.zeros(len(times))
    for at in range(marks.shape[1]):
        places = np.flatnonzero(marks[:, at] != UNKNOWN)
        order = places[np.argsort(-scores[places, at], kind="stable")]
        if not (marks[order, at] == PRESENT).any():
            continue
        # Images with equal scores count together: only the last of them is an end.
        ends = np.append(np.flatnonzero(np.diff(scores[order, at])), len(order) - 1)
        drawn = times[:, order]
        taken = np.cumsum(drawn, axis=1)[:, ends]
        hits = np.cumsum(drawn * (marks[order, at] == PRESENT), axis=1)[:, ends]
        shown = hits[:, -1]
        gained = np.diff(hits, axis=1, prepend=0)
        precision = hits / np.maximum(taken, 1)
        total += (gained * precision).sum(axis=1) / np.maximum(shown, 1)
        labels += shown > 0
    return np.where(labels > 0, total / np.maximum(labels, 1), np.nan)


def label_intervals(evaluation: LabelEvaluation) -> list[ClassIntervals]:
    """The intervals of every label, in the order of `LabelEvaluation.per_label`."""
    counts = counts_at(evaluation.answered, evaluation.marks)
    return [
        ClassIntervals(wilson(hit, said), wilson(hit, have), f1_interval(hit, have, said))
        for hit, said, have in zip(*(each.tolist() for each in counts), strict=True)
    ]


class Predicted(NamedTuple):
    """Precision and recall of a choice of predicted labels."""

    threshold: float | None
    """None for the labels' own thresholds."""
    predicted: int
    precision: float
    """The share of the predicted labels that are shown; 0 if none is predicted."""
    precision_interval: Interval
    shown: int
    recall: float
    """The share of the shown labels that are predicted; 0 if none is shown."""
    recall_interval: Interval


def measured_above(
    is_predicted: NDArray[np.bool_], is_shown: NDArray[np.bool_], threshold: float | None = None
) -> Predicted:
    """Precision and recall over known labels, arguments (M,); with Wilson's 95 % intervals."""
    predicted, shown = int(is_predicted.sum()), int(is_shown.sum())
    right = int((is_predicted & is_shown).sum())
    return Predicted(
        threshold,
        predicted,
        right / max(predicted, 1),
        wilson(right, predicted),
        shown,
        right / max(shown, 1),
        wilson(right, shown),
    )
