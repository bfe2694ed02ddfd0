"""Multi-label figures: intervals, and how much is named at which precision."""

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
    "Naming",
    "effective_positives",
    "label_intervals",
    "map_interval",
    "named_above",
    "resampled_map",
]

RESAMPLES = 1000
LEAST_PHOTOS, LEAST_POSITIVES, LEAST_PER_LABEL = 50, 20, 5
"""With fewer photos, or effective positives in all or a label, an interval would miss too often."""
# Photos of as many resamples are counted at once as make about so many numbers.
BLOCK = 2**21


def map_interval(
    scores: NDArray[np.floating],
    marks: NDArray[np.int8],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """A 95 % interval of the mAP: Wilson's, by the spread and the bias of a bootstrap over photos.

    Few photos have too high an mAP: every photo that shows a label ranks beside few others. A
    resample is to the photos what these are to all photos, so its mean mAP less theirs is taken off
    (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", 10.3); from the lower end twice,
    since resamples have doubled photos, not new ones, and show a part of the bias only. Quantiles
    of resamples are no use for the ends: near 1 hardly any differs. Wilson's score interval is
    taken instead, with as many trials as would spread an observed part like the resamples' mAP, and
    no more than `effective_positives` (after Boyd, Eng and Page 2013, "Area under the
    Precision-Recall Curve", 3, who take the photos that show a label for trials).
    benchmarks/interval_coverage.py measures how often it holds the truth.

    None where no photo shows a label, or so few do that the interval would miss too often. A
    resample leaves out the labels that none of its photos shows, as mAP does. The interval stays in
    0 to 1, with the mAP inside.

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
    """How many photos that show it a single label would need for as sharp an mAP; 0 for none.

    The mean of K labels with n photos each has a variance of 1 / K times the mean of 1 / n, so that
    it is K^2 / sum(1 / n) photos, over the labels that some photo shows.
    """
    shown = (marks == PRESENT).sum(axis=0)
    shown = shown[shown > 0]
    return float(len(shown) ** 2 / (1 / shown).sum()) if len(shown) else 0.0


def _resamples(
    scores: NDArray[np.floating], marks: NDArray[np.int8], resamples: int, seed: int
) -> NDArray[np.float64]:
    """mAP of photos drawn with replacement, (R,); those that show no label are left out."""
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
    """mAP of resamples, (R,); NaN where none of the drawn photos shows a label.

    Args:
        scores: (N, labels)
        marks: (N, labels)
        times: (R, N) how often each photo was drawn.
    """
    total, labels = np.zeros(len(times)), np.zeros(len(times))
    for at in range(marks.shape[1]):
        places = np.flatnonzero(marks[:, at] != UNKNOWN)
        order = places[np.argsort(-scores[places, at], kind="stable")]
        if not (marks[order, at] == PRESENT).any():
            continue
        # Photos of the same score count together: of these only the last is a place to stop.
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
    """Of every label, in the order of `LabelEvaluation.per_label`."""
    counts = counts_at(evaluation.answered, evaluation.marks)
    return [
        ClassIntervals(wilson(hit, said), wilson(hit, have), f1_interval(hit, have, said))
        for hit, said, have in zip(*(each.tolist() for each in counts), strict=True)
    ]


class Naming(NamedTuple):
    """What naming some labels of some photos, and not the others, is worth."""

    threshold: float | None
    """None for the labels' own thresholds."""
    named: int
    precision: float
    """The part of the named labels that the photos show; 0 where none is named."""
    precision_interval: Interval
    shown: int
    recall: float
    """The part of the shown labels that is named; 0 where none is shown."""
    recall_interval: Interval


def named_above(
    is_named: NDArray[np.bool_], is_shown: NDArray[np.bool_], threshold: float | None = None
) -> Naming:
    """Count known labels of photos, both arguments (M,); the intervals are Wilson's, 95 %."""
    named, shown = int(is_named.sum()), int(is_shown.sum())
    right = int((is_named & is_shown).sum())
    return Naming(
        threshold,
        named,
        right / max(named, 1),
        wilson(right, named),
        shown,
        right / max(shown, 1),
        wilson(right, shown),
    )
