"""The losses of PicoDet: varifocal for the classes, GIoU and distribution focal for the boxes.

Varifocal: Zhang et al. 2020, arXiv 2008.13367. GIoU: Rezatofighi et al. 2019, arXiv 1902.09630.
Distribution focal: Li et al. 2020, arXiv 2006.04388. Weights and details are PaddleDetection's, but
for one: the normalising sum of the target scores is at least 1, so that a batch without
objects does not end a run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from pplcnet.models.boxes import BINS, joint_score
from pplcnet.tasks.detection.assignment import (
    Assignment,
    Cells,
    Truth,
    assign_by_place,
    assign_by_task,
    cells_of,
)

__all__ = ["CELL_COLUMNS", "DetectionLoss", "LossParts", "TrainedCells", "pack_cells"]

NEGATIVE_WEIGHT = 0.75
BOX_WEIGHT, DISTRIBUTION_WEIGHT = 2.5, 0.5
FARTHEST = 6.9
"""In strides: the largest distance that falls between two bins."""
LEAST_LOG, TINY = -100.0, 1e-30
GIOU_EPSILON = 1e-10
CELL_COLUMNS = 6


class LossParts(NamedTuple):
    """The three losses of a batch, weighted; their sum is minimised."""

    classes: Any
    boxes: Any
    distributions: Any


class TrainedCells(NamedTuple):
    """A detector's predictions for every cell, and the cells' places."""

    class_logits: Any
    """(N, A, C)."""
    align_logits: Any
    """(N, A)."""
    distance_logits: Any
    """(N, A, 4, BINS): left, top, right, bottom."""
    cells: Cells
    is_aligned: Any
    """() bool: whether boxes are assigned by the network's predictions (TAL)."""


def pack_cells(
    class_logits: Any, align_logits: Any, distance_logits: Any, size: Any, is_aligned: Any
) -> Any:
    """Everything that the loss needs in one array (N, A, C + 1 + 4 BINS + CELL_COLUMNS).

    A loss gets only one array of outputs. The last columns therefore hold the cells' places, which
    follow from the size of the batch's images, and the stage of the training.

    Args:
        class_logits: (N, A, C); align_logits (N, A, 1); distance_logits (N, A, 4 BINS).
        size: height and width of the input in pixels; numbers, or tensors of int32.
        is_aligned: a number: 1 for TAL, 0 for ATSS.
    """
    cells = cells_of(*size)
    images, count = ops.shape(class_logits)[:2]
    same = ops.concatenate([cells.size, ops.reshape(is_aligned, (1,))])
    columns = ops.concatenate(
        [
            cells.centres,
            cells.strides[:, None],
            ops.broadcast_to(same, (ops.shape(cells.strides)[0], 3)),
        ],
        axis=-1,
    )
    parts = [ops.cast(each, "float32") for each in (class_logits, align_logits, distance_logits)]
    return ops.concatenate(
        [*parts, ops.broadcast_to(columns, (images, count, CELL_COLUMNS))], axis=-1
    )


def _unpacked(packed: Any, classes: int) -> TrainedCells:
    images, count = ops.shape(packed)[:2]
    at = classes + 1 + 4 * BINS
    columns = packed[0, :, at:]
    return TrainedCells(
        packed[..., :classes],
        packed[..., classes],
        ops.reshape(packed[..., classes + 1 : at], (images, count, 4, BINS)),
        Cells(columns[:, :2], columns[:, 2], columns[0, 3:5]),
        columns[0, 5] > 0.5,
    )


class DetectionLoss(keras.losses.Loss):
    """The three losses of a batch, summed.

    Targets are (N, M, 5): x1, y1, x2, y2 in pixels of the batch's images, and the class, which is
    negative where there is no box.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(name="detection")
        self.classes = classes

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss () of targets (N, M, 5) and an output of `pack_cells`."""
        parts = self.parts(y_true, y_pred)
        return parts.classes + parts.boxes + parts.distributions

    def parts(self, targets: Any, packed: Any) -> LossParts:
        """The three losses, separately."""
        found = _unpacked(packed, self.classes)
        classes = ops.cast(targets[..., 4], "int32")
        truth = Truth(targets[..., :4], classes, classes >= 0)
        centres, strides = found.cells.centres, found.cells.strides[:, None]
        scores = joint_score(found.class_logits, found.align_logits[..., None])
        bins = ops.arange(BINS, dtype="float32")
        distances = ops.sum(ops.softmax(found.distance_logits) * bins, axis=-1)
        # In strides, as the box loss takes them.
        centres = centres / strides
        boxes = ops.concatenate(
            [centres - distances[..., :2], centres + distances[..., 2:]], axis=-1
        )
        assigned = _assigned(found, truth, boxes * strides, scores)
        box = ops.take_along_axis(truth.boxes, assigned.box[..., None], axis=1) / strides
        weights, total = assigned.score, ops.maximum(ops.sum(assigned.score), 1.0)
        wanted = ops.concatenate([centres - box[..., :2], box[..., 2:] - centres], axis=-1)
        distribution = _distribution_losses(found.distance_logits, wanted, bins)
        return LossParts(
            ops.sum(_varifocal(scores, assigned, truth.classes)) / total,
            BOX_WEIGHT * ops.sum(weights * (1 - _giou(boxes, box))) / total,
            DISTRIBUTION_WEIGHT * ops.sum(weights * ops.mean(distribution, axis=-1)) / total,
        )


def _assigned(found: TrainedCells, truth: Truth, predicted: Any, scores: Any) -> Assignment:
    predicted, scores = ops.stop_gradient(predicted), ops.stop_gradient(scores)
    chosen = ops.cond(
        found.is_aligned,
        lambda: tuple(assign_by_task(found.cells, truth, predicted, scores)),
        lambda: tuple(assign_by_place(found.cells, truth, predicted)),
    )
    return Assignment(*(ops.stop_gradient(each) for each in chosen))


def _varifocal(scores: Any, assigned: Assignment, classes: Any) -> Any:
    """(N, A, C)."""
    count = scores.shape[-1]
    own = ops.take_along_axis(classes, assigned.box, axis=1)
    is_own = ops.equal(own[..., None], ops.arange(count, dtype="int32"))
    wanted = ops.where(is_own, assigned.score[..., None], 0.0)
    weights = ops.where(wanted > 0, wanted, NEGATIVE_WEIGHT * ops.square(scores))
    return -weights * (wanted * _log(scores) + (1 - wanted) * _log(1 - scores))


def _log(values: Any) -> Any:
    # All other differences from 1 are far above TINY: only 0 gets the least logarithm.
    return ops.where(values > 0, ops.log(ops.maximum(values, TINY)), LEAST_LOG)


def _giou(boxes: Any, truth: Any) -> Any:
    """The GIoU (N, A) of boxes (N, A, 4)."""
    low, high = (ops.maximum, ops.minimum)
    inner = [low(boxes[..., at], truth[..., at]) for at in (0, 1)]
    inner += [high(boxes[..., at], truth[..., at]) for at in (2, 3)]
    outer = [high(boxes[..., at], truth[..., at]) for at in (0, 1)]
    outer += [low(boxes[..., at], truth[..., at]) for at in (2, 3)]
    overlap = low(inner[2] - inner[0], 0.0) * low(inner[3] - inner[1], 0.0)
    areas = [
        (each[..., 2] - each[..., 0]) * (each[..., 3] - each[..., 1]) for each in (boxes, truth)
    ]
    union = areas[0] + areas[1] - overlap + GIOU_EPSILON
    hull = (outer[2] - outer[0]) * (outer[3] - outer[1]) + GIOU_EPSILON
    return overlap / union - (hull - union) / hull


def _distribution_losses(logits: Any, distances: Any, bins: Any) -> Any:
    """(N, A, 4): cross-entropies with the two bins around the target distances (N, A, 4)."""
    wanted = ops.clip(distances, 0.0, FARTHEST)[..., None]
    shares = ops.maximum(1 - ops.abs(wanted - bins), 0.0)
    return -ops.sum(shares * ops.log_softmax(logits), axis=-1)
