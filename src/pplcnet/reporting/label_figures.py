"""Figures of several labels a photo: intervals, and how much is named at which precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.multilabel import counts_at
from pplcnet.multilabel_evaluation import MultiLabelEvaluation
from pplcnet.reporting.figures import ClassIntervals, Interval, f1_interval, wilson
from pplcnet.tables import PRESENT, UNKNOWN

__all__ = ["Naming", "bootstrap_map", "label_intervals", "named_above", "resampled_map"]

RESAMPLES = 1000
# Photos of as many resamples are counted at once as make about so many numbers.
BLOCK = 2**21


def bootstrap_map(
    scores: NDArray[np.floating],
    marks: NDArray[np.int8],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """A 95 % interval of the mAP: the basic bootstrap over photos.

    Ends are 2 m - q, with m the mAP and q the 97.5 and 2.5 % points of the resamples' (Davison and
    Hinkley 1997, "Bootstrap Methods and Their Application", 5.2). A photo that is drawn twice
    ranks beside itself, so that resamples have too high an mAP; the points themselves, taken for
    the ends, would lie too high as well, and this puts the bias on the right side.

    None where no photo shows a label. A resample leaves out the labels that none of its photos
    shows, as mAP does. The interval stays in 0 to 1, with the mAP inside.

    Args:
        scores: (N, labels) in any scale.
        marks: (N, labels): 1 shown, 0 not shown, -1 unknown.
    """
    count = len(marks)
    if not (marks == PRESENT).any():
        return None
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
    low, high = np.nanpercentile(np.concatenate(found), [2.5, 97.5])
    (own,) = resampled_map(scores, marks, np.ones((1, count), np.int64))
    # The mAP of few photos may lie beyond most of its resamples.
    return Interval(
        max(0.0, min(float(2 * own - high), float(own))),
        min(1.0, max(float(2 * own - low), float(own))),
    )


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


def label_intervals(evaluation: MultiLabelEvaluation) -> list[ClassIntervals]:
    """Of every label, in the order of `MultiLabelEvaluation.per_label`."""
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
