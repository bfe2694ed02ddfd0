"""Which cells of a detector learn which boxes, and how well each should score.

Two rules, applied to a whole batch and without gradients: ATSS (Zhang et al. 2020, arXiv
1912.02424), which goes by where the boxes are, and task-aligned assignment (TAL; Feng et al. 2021,
arXiv 2108.07755), which goes by what the network predicts. Both follow PicoDet (PaddleDetection).

Sizes: N images, M boxes of an image (padded), A cells, C classes. Boxes are x1, y1, x2, y2 in
pixels of the input. A box that contains no cell's centre is assigned to no cell.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from pplcnet.models.boxes import cell_places
from pplcnet.models.catalog import DETECTOR_STRIDES

__all__ = [
    "Assignment",
    "Cells",
    "Truth",
    "assign_by_place",
    "assign_by_task",
    "cells_of",
    "paired_iou",
]

ANCHOR = 5
"""Side of the square around a cell that ATSS compares with boxes, in strides."""
NEAREST = 9
"""Cells per level that ATSS considers for a box."""
ALIGNED = 13
"""Cells, over all levels, that TAL takes for a box."""
INSIDE = 1e-9
ANCHOR_EPSILON, PREDICTED_EPSILON = 1e-10, 1e-9
FAR = 1e12


class Cells(NamedTuple):
    """The cells of all levels, level by level and row by row."""

    centres: Any
    """(A, 2): x, y in pixels."""
    strides: Any
    """(A,) in pixels."""
    size: Any
    """(2,): height and width of the input in pixels."""


class Truth(NamedTuple):
    """The true boxes of a batch."""

    boxes: Any
    """(N, M, 4)."""
    classes: Any
    """(N, M) int32; arbitrary where there is no box."""
    exists: Any
    """(N, M) bool: False for padding."""


class Assignment(NamedTuple):
    """The target of each cell."""

    is_positive: Any
    """(N, A) bool: whether the cell learns a box."""
    box: Any
    """(N, A) int32: the index of this box in its image; arbitrary where there is none."""
    score: Any
    """(N, A): the score for the box's class; 0 where there is none."""


def cells_of(height: Any, width: Any) -> Cells:
    """The cells of an input of this size in pixels; the sizes are numbers or int32 tensors."""
    centres, strides = cell_places(height, width)
    return Cells(centres, strides[:, 0], ops.cast(ops.stack([height, width]), "float32"))


def assign_by_place(cells: Cells, truth: Truth, predicted: Any) -> Assignment:
    """Assign by ATSS: a box gets those of its nearest cells whose square overlaps it most.

    Args:
        predicted: boxes (N, A, 4); a cell's score is the IoU of its own with the true box.
    """
    near = _nearest_cells(cells, truth.boxes)
    overlaps = _iou(near.anchors, truth.boxes[:, :, None], ANCHOR_EPSILON)
    weights = ops.cast(near.exists, "float32")
    count = ops.sum(weights, axis=-1, keepdims=True)
    mean = ops.sum(overlaps * weights, axis=-1, keepdims=True) / count
    squares = ops.sum(ops.square(overlaps - mean) * weights, axis=-1, keepdims=True)
    threshold = mean + ops.sqrt(squares / ops.maximum(count - 1, 1.0))
    is_claimed = _all(
        overlaps > threshold,
        near.exists,
        _is_inside(near.centres, truth.boxes[:, :, None]),
        truth.exists[:, :, None],
    )
    half = cells.strides[:, None] * (ANCHOR / 2)
    anchors = ops.concatenate([cells.centres - half, cells.centres + half], axis=-1)
    rivals = paired_iou(anchors[None], truth.boxes, ANCHOR_EPSILON)
    is_positive, box = _settled(is_claimed, near.index, rivals, truth)
    score = _iou(predicted, _taken(truth.boxes, box), PREDICTED_EPSILON)
    return Assignment(is_positive, box, ops.where(is_positive, score, 0.0))


def assign_by_task(cells: Cells, truth: Truth, predicted: Any, scores: Any) -> Assignment:
    """Assign by TAL: a box gets the cells inside it that predict its class and position best.

    Args:
        predicted: boxes (N, A, 4).
        scores: (N, A, C).
    """
    images, boxes = ops.shape(truth.boxes)[:2]
    overlaps = paired_iou(predicted, truth.boxes, PREDICTED_EPSILON)
    # IoU to the power of 6.
    alignment = _of_class(scores, truth.classes) * ops.square(overlaps * overlaps * overlaps)
    is_inside = _all(
        _is_inside(cells.centres[None, None], truth.boxes[:, :, None]), truth.exists[:, :, None]
    )
    best, index = ops.top_k(ops.where(is_inside, alignment, -1.0), ALIGNED)
    is_positive, box = _settled(best >= 0, index, overlaps, truth)
    # For every cell with its own box, then for every box over its own cells.
    alignment, overlap = (
        ops.where(is_positive, ops.take_along_axis(each, box[:, None], axis=1)[:, 0], 0.0)
        for each in (alignment, overlaps)
    )
    place = box + ops.arange(images, dtype="int32")[:, None] * boxes
    flat = ops.reshape(place, (-1,))
    most_aligned, most_overlap = (
        ops.take(
            ops.segment_max(ops.reshape(each, (-1,)), flat, num_segments=images * boxes),
            place,
            axis=0,
        )
        for each in (alignment, overlap)
    )
    score = alignment / (most_aligned + PREDICTED_EPSILON) * most_overlap
    return Assignment(is_positive, box, ops.where(is_positive, score, 0.0))


def paired_iou(boxes: Any, truth: Any, epsilon: float) -> Any:
    """IoU (N, M, A) of every true box (N, M, 4) with every box (N or 1, A, 4)."""
    return _iou(boxes[:, None], truth[:, :, None], epsilon)


class _Near(NamedTuple):
    """Cells near each box, K = NEAREST of every level."""

    index: Any
    """(N, M, 4 K) int32: indices of the cells."""
    exists: Any
    """(N, M, 4 K) bool: False where a level has fewer."""
    centres: Any
    """(N, M, 4 K, 2)."""
    anchors: Any
    """(N, M, 4 K, 4)."""


def _nearest_cells(cells: Cells, boxes: Any) -> _Near:
    """The cells of every level whose centres are nearest to the box's centre.

    The K nearest lie among the K nearest columns and the K nearest rows, since the K cells of the
    nearest row in these columns are nearer than any cell outside them.
    """
    strides = ops.convert_to_tensor([float(stride) for stride in DETECTOR_STRIDES])
    rows, columns = (ops.ceil(cells.size[at] / strides) for at in (0, 1))
    counts = rows * columns
    offsets = ops.cumsum(counts) - counts
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    x, y = (_nearest_places(centre[..., at, None], strides, (columns, rows)[at]) for at in (0, 1))
    shape = (*ops.shape(x)[:-1], NEAREST)
    x, y = ops.broadcast_to(x[..., None, :], (*shape, NEAREST)), y[..., :, None]
    y = ops.broadcast_to(y, (*shape, NEAREST))
    x, y = (ops.reshape(each, (*shape[:-1], NEAREST**2)) for each in (x, y))
    pixels = strides[:, None]
    across = (x + 0.5) * pixels - centre[..., 0, None, None]
    down = (y + 0.5) * pixels - centre[..., 1, None, None]
    distances = ops.square(across) + ops.square(down)
    exists = _all(x < columns[:, None], y < rows[:, None])
    distances, chosen = ops.top_k(-ops.where(exists, distances, FAR), NEAREST)
    x, y = (ops.take_along_axis(each, chosen, axis=-1) for each in (x, y))
    index = offsets[:, None] + y * columns[:, None] + x
    centres = ops.stack([(x + 0.5) * pixels, (y + 0.5) * pixels], axis=-1)
    half = pixels[..., None] * (ANCHOR / 2)
    anchors = ops.concatenate([centres - half, centres + half], axis=-1)
    exists = distances > -FAR / 2
    flat = (*ops.shape(boxes)[:2], len(DETECTOR_STRIDES) * NEAREST)
    return _Near(
        ops.reshape(ops.cast(ops.where(exists, index, 0.0), "int32"), flat),
        ops.reshape(exists, flat),
        ops.reshape(centres, (*flat, 2)),
        ops.reshape(anchors, (*flat, 4)),
    )


def _nearest_places(pixels: Any, strides: Any, count: Any) -> Any:
    """(N, M, 4, K): the K rows or columns of each level nearest to a position, ascending.

    Args:
        pixels: (N, M, 1).
        count: (4,): the number of rows or columns. With fewer than K, the rest lie beyond them.
    """
    nearest = ops.floor(pixels / strides)
    first = ops.minimum(nearest - NEAREST // 2, count - NEAREST)
    return ops.maximum(first, 0.0)[..., None] + ops.arange(NEAREST, dtype="float32")


def _settled(is_claimed: Any, index: Any, overlaps: Any, truth: Truth) -> tuple[Any, Any]:
    """Whether each cell (N, A) is positive, and for which box.

    A cell that several boxes claim goes to the box that it overlaps most, even if that box did not
    claim it.

    Args:
        is_claimed: (N, M, K) bool, of cells `index` (N, M, K).
        overlaps: (N, M, A).
    """
    images, boxes, cells = ops.shape(overlaps)
    image = ops.arange(images, dtype="int32")[:, None, None]
    flat = ops.reshape(index + image * cells, (-1,))
    claims = ops.cast(is_claimed, "float32")
    box = claims * ops.arange(boxes, dtype="float32")[:, None]
    count, owner = (
        ops.reshape(
            ops.segment_sum(ops.reshape(each, (-1,)), flat, num_segments=images * cells),
            (images, cells),
        )
        for each in (claims, box)
    )
    most = ops.argmax(ops.where(truth.exists[:, :, None], overlaps, -1.0), axis=1)
    owner = ops.where(count > 1, ops.cast(most, "int32"), ops.cast(owner, "int32"))
    return count > 0, owner


def _of_class(scores: Any, classes: Any) -> Any:
    """(N, M, A): the scores (N, A, C) for the class (N, M) of every box."""
    images, cells, count = ops.shape(scores)
    rows = ops.reshape(ops.transpose(scores, (0, 2, 1)), (images * count, cells))
    image = ops.arange(images, dtype="int32")[:, None]
    return ops.take(rows, ops.clip(classes, 0, count - 1) + image * count, axis=0)


def _taken(boxes: Any, index: Any) -> Any:
    """(N, A, 4): from boxes (N, M, 4), the one at the index of each cell (N, A)."""
    return ops.take_along_axis(boxes, index[..., None], axis=1)


def _is_inside(points: Any, boxes: Any) -> Any:
    """Whether points (..., 2) lie strictly inside boxes (..., 4)."""
    least = ops.minimum(points - boxes[..., :2], boxes[..., 2:] - points)
    return ops.min(least, axis=-1) > INSIDE


def _iou(one: Any, other: Any, epsilon: float) -> Any:
    """IoU (...) of boxes (..., 4)."""
    left, top = (ops.maximum(one[..., at], other[..., at]) for at in (0, 1))
    right, bottom = (ops.minimum(one[..., at], other[..., at]) for at in (2, 3))
    overlap = ops.maximum(right - left, 0.0) * ops.maximum(bottom - top, 0.0)
    return overlap / (_area(one) + _area(other) - overlap + epsilon)


def _area(boxes: Any) -> Any:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _all(*conditions: Any) -> Any:
    met = conditions[0]
    for each in conditions[1:]:
        met = ops.logical_and(met, each)
    return met
