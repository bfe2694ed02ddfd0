"""Merges the boxes found in overlapping parts of a photo with those found in the whole photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.windows import Window
from pplcnet.tasks.detection.suppression import IOU_THRESHOLD, FoundBoxes, overlaps

__all__ = ["merge_found"]

EDGE = 0.01
"""Part of a tile's side: a box this near to the tile's edge may show only part of an object."""


def merge_found(
    whole: FoundBoxes,
    parts: Sequence[FoundBoxes],
    windows: Sequence[Window],
    size: tuple[int, int],
    overlap: tuple[int, int],
    *,
    iou_threshold: float = IOU_THRESHOLD,
) -> FoundBoxes:
    """The boxes of all parts in the photo's pixels, each object once, the most confident first.

    An object no larger than the overlap of two tiles is seen whole in one of them, and larger in
    the network's input than in the whole photo: for such objects, only the tiles' boxes count. For
    larger ones, the whole photo's count as well. Among boxes of one class, a more confident one
    drops those whose IoU with it exceeds the threshold. A box at a tile's edge inside the photo may
    show only part of an object: it is considered after all others, and is also dropped if more than
    the threshold of its own area lies in a kept box.

    Args:
        whole: the boxes found in the whole photo, in its pixels.
        parts: the boxes found in each window, in the window's pixels.
        size: (width, height) of the photo.
        overlap: (down, to the right) of neighbouring windows, in pixels.
    """
    sides = whole.xyxy[:, 2:] - whole.xyxy[:, :2]
    is_large = (sides > (overlap[1], overlap[0])).any(axis=1)
    boxes, is_cut = [whole.xyxy[is_large]], [np.zeros(int(is_large.sum()), bool)]
    for part, window in zip(parts, windows, strict=True):
        boxes.append(part.xyxy + np.array([window.left, window.top] * 2, np.float32))
        is_cut.append(_at_inner_edge(boxes[-1], window, size))
    xyxy = np.concatenate(boxes)
    labels = np.concatenate([whole.class_id[is_large], *(part.class_id for part in parts)])
    confidence = np.concatenate([whole.confidence[is_large], *(each.confidence for each in parts)])
    cut = np.concatenate(is_cut)
    kept: list[int] = []
    for label in np.unique(labels).tolist():
        places = np.flatnonzero(labels == label)
        places = places[np.lexsort((-confidence[places], cut[places]))]
        best = _best(xyxy[places], cut[places], _side(windows), iou_threshold)
        kept += places[best].tolist()
    order = np.array(kept, np.intp)
    order = order[np.argsort(-confidence[order], kind="stable")]
    return FoundBoxes(xyxy[order], labels[order], confidence[order])


def _at_inner_edge(
    boxes: NDArray[np.float32], window: Window, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Whether boxes, in the photo's pixels, touch a window edge that is inside the photo."""
    near = EDGE * np.array([window.right - window.left, window.bottom - window.top])
    first = (boxes[:, :2] <= np.array(window[:2]) + near) & (np.array(window[:2]) > 0)
    last = (boxes[:, 2:] >= np.array(window[2:]) - near) & (np.array(window[2:]) < size)
    return np.asarray((first | last).any(axis=1))


def _side(windows: Sequence[Window]) -> tuple[float, float]:
    """Width and height of the largest window."""
    widths, heights = zip(*((w.right - w.left, w.bottom - w.top) for w in windows), strict=True)
    return max(widths), max(heights)


def _best(
    boxes: NDArray[np.float32],
    is_cut: NDArray[np.bool_],
    side: tuple[float, float],
    iou_threshold: float,
) -> list[int]:
    """Indices of the boxes to keep, from boxes of one class in the order of preference.

    Boxes no larger than `side` can overlap only if their centres are in neighbouring cells of that
    size, so each box is compared with these alone.
    """
    is_large = np.asarray((boxes[:, 2:] - boxes[:, :2] > side).any(axis=1))
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2 // side).astype(np.intp).tolist()
    cells: dict[tuple[int, int], list[int]] = {}
    for at, (column, row) in enumerate(centres):
        cells.setdefault((column, row), []).append(at)
    large = np.flatnonzero(is_large).tolist()
    kept: list[int] = []
    is_waiting = np.ones(len(boxes), bool)
    for at, (column, row) in enumerate(centres):
        if not is_waiting[at]:
            continue
        kept.append(at)
        if is_large[at]:
            near = np.arange(at + 1, len(boxes))
        else:
            around = [(column + x, row + y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
            near = np.array([each for cell in around for each in cells.get(cell, ())] + large)
            near = near[near > at]
        near = near[is_waiting[near]]
        one, others = boxes[at][None], boxes[near]
        is_same = overlaps(one, others)[0] > iou_threshold
        is_part = is_cut[near] & (overlaps(others, one, of_one=True)[:, 0] > iou_threshold)
        is_waiting[near[is_same | is_part]] = False
    return kept
