"""Non-maximum suppression, class by class: keeps the best of overlapping boxes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FoundBoxes", "overlaps", "suppress"]

SCORE_THRESHOLD, IOU_THRESHOLD, MOST, CANDIDATES = 0.025, 0.6, 100, 1000
"""PaddleDetection's setting for evaluating PicoDet."""


class FoundBoxes(NamedTuple):
    """The boxes detected on one image."""

    xyxy: NDArray[np.float32]
    """(D, 4), in pixels of the image or of the input."""
    class_id: NDArray[np.intp]
    """(D,)."""
    confidence: NDArray[np.float32]
    """(D,)."""


def suppress(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
    most: int = MOST,
    candidates: int = CANDIDATES,
) -> FoundBoxes:
    """Drop each box that overlaps a better one of its class; return the rest, best first.

    Args:
        boxes: (A, 4), of one image.
        scores: (A, C).
        score_threshold: only boxes with a higher score are considered.
        iou_threshold: a box is dropped if its IoU with a better, kept box exceeds this.
        most: the maximum number of boxes kept, over all classes.
        candidates: the maximum number of boxes considered per class.
    """
    found: list[tuple[NDArray[np.intp], int]] = []
    # Skip the sort for classes that no score reaches.
    for label in np.flatnonzero((scores > score_threshold).any(axis=0)).tolist():
        own = scores[:, label]
        places = np.flatnonzero(own > score_threshold)
        order = places[np.argsort(-own[places], kind="stable")][:candidates]
        found.append((order, label))
    places = np.concatenate([places for places, _ in found] or [np.empty(0, np.intp)])
    labels = np.concatenate(
        [np.full(len(own), label, np.intp) for own, label in found] or [np.empty(0, np.intp)]
    )
    order = np.argsort(-scores[places, labels], kind="stable")
    places, labels = places[order], labels[order]
    best = _best(boxes[places], labels, iou_threshold, most)
    confidence = scores[places[best], labels[best]].astype(np.float32)
    return FoundBoxes(boxes[places[best]].astype(np.float32), labels[best], confidence)


def overlaps(
    one: NDArray[np.number[Any]], other: NDArray[np.number[Any]], *, of_one: bool = False
) -> NDArray[np.float64]:
    """IoU (N, M) of boxes (N, 4) and (M, 4); 0 where neither has an area.

    Args:
        of_one: divide the intersection by the area of the first box, instead of IoU.
    """
    a, b = one[:, None].astype(np.float64), other[None].astype(np.float64)
    corner = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = corner.clip(0).prod(axis=-1)
    area, area_other = ((each[..., 2:] - each[..., :2]).prod(axis=-1) for each in (a, b))
    whole = np.broadcast_to(area, shared.shape) if of_one else area + area_other - shared
    result: NDArray[np.float64] = np.divide(
        shared, whole, out=np.zeros(shared.shape), where=whole > 0
    )
    return result


class _Rivals(NamedTuple):
    """The boxes of one class, best first; arrays (N,)."""

    places: NDArray[np.intp]
    left: NDArray[np.float64]
    top: NDArray[np.float64]
    right: NDArray[np.float64]
    bottom: NDArray[np.float64]
    area: NDArray[np.float64]


def _best(
    boxes: NDArray[np.float32], labels: NDArray[np.intp], iou_threshold: float, most: int
) -> list[int]:
    """Indices of the boxes to keep, from boxes (N, 4) sorted best first.

    It stops at the last box to keep: with an untrained network, nearly every score is a candidate.
    """
    kept: list[int] = []
    is_waiting = np.ones(len(boxes), bool)
    # A hundred rounds of a few short operations take a third of the time of `overlaps`.
    rivals: dict[int, _Rivals] = {}
    position = np.empty(len(boxes), np.intp)
    for label in np.unique(labels).tolist():
        places = np.flatnonzero(labels == label)
        left, top, right, bottom = boxes[places].T.astype(np.float64)
        area = (right - left) * (bottom - top)
        rivals[label] = _Rivals(places, left, top, right, bottom, area)
        position[places] = np.arange(len(places))
    with np.errstate(invalid="ignore"):  # for two boxes without an area
        for at, (label, first) in enumerate(zip(labels.tolist(), position.tolist(), strict=True)):
            if len(kept) == most:
                break
            if is_waiting[at]:
                kept.append(at)
                is_waiting[_dropped_by(rivals[label], first, iou_threshold)] = False
    return kept


def _dropped_by(rivals: _Rivals, first: int, iou_threshold: float) -> NDArray[np.intp]:
    """The positions of box `first` of a class and of the later boxes that overlap it."""
    places, left, top, right, bottom, area = rivals
    shared = np.minimum(right[first:], right[first])
    shared -= np.maximum(left[first:], left[first])
    np.maximum(shared, 0, out=shared)
    height = np.minimum(bottom[first:], bottom[first])
    height -= np.maximum(top[first:], top[first])
    np.maximum(height, 0, out=height)
    shared *= height
    whole = area[first:] + area[first]
    whole -= shared
    shared /= whole
    dropped: NDArray[np.intp] = places[first:][shared > iou_threshold]
    return dropped
