"""A segmenter's losses: cross-entropy, also of the hardest pixels, Dice and Lovasz-softmax.

All follow PaddleSeg. Online hard example mining (OHEM): Shrivastava et al. 2016, arXiv 1604.03540.
Dice: Milletari et al. 2016, arXiv 1606.04797. Lovasz-softmax: Berman et al. 2018,
arXiv 1705.08790.

Throughout, logits are (N, H, W, C) float32 and labels (N, H, W) integers, IGNORED for pixels that
do not count. If every pixel is ignored, a loss is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from pplcnet.data.masks import IGNORED

__all__ = [
    "SegmentationLoss",
    "cross_entropy",
    "dice",
    "hardest_cross_entropy",
    "lovasz_softmax",
    "ohem_cross_entropy",
]

TINY = 1e-12
OHEM_EPSILON = 1e-5
DICE_SMOOTH = 1.0

PixelLoss = Literal["cross-entropy", "ohem", "hardest"]


def cross_entropy(
    logits: Any,
    labels: Any,
    class_weights: Sequence[float] | None = None,
    *,
    over_ignored: bool = False,
) -> Any:
    """The mean over the pixels that count, weighted by their classes, ().

    Args:
        class_weights: one per class; their sum over the pixels is the divisor.
        over_ignored: divide by the number of all pixels, ignored ones included.
    """
    losses, counts = _pixel_losses(logits, labels)
    if class_weights is not None:
        weights = ops.convert_to_tensor(class_weights, "float32")
        counts = counts * ops.take(weights, _class_of(labels))
    total = ops.size(losses) if over_ignored else ops.sum(counts)
    return ops.sum(losses * counts) / ops.maximum(ops.cast(total, "float32"), TINY)


def hardest_cross_entropy(logits: Any, labels: Any, part: float) -> Any:
    """The mean of the highest pixel losses, ().

    Args:
        part: fraction of all pixels, ignored ones included; the number is rounded down, at least 1.
    """
    losses, counts = _pixel_losses(logits, labels)
    flat = ops.reshape(losses * counts, (-1,))
    kept = ops.maximum(_part_of(part, ops.size(flat)), 1)
    least = -ops.take(ops.sort(ops.stop_gradient(-flat)), kept - 1)
    return ops.sum(ops.where(flat >= least, flat, 0.0)) / ops.cast(kept, "float32")


def ohem_cross_entropy(logits: Any, labels: Any, threshold: float, least: Any) -> Any:
    """The mean over the pixels whose class gets a low probability (OHEM), ().

    Args:
        threshold: pixels with a lower probability are kept.
        least: at least this many pixels of the batch are kept, those of the lowest probability; all
            if it has no more.
    """
    losses, counts = _pixel_losses(logits, labels)
    # Ignored pixels get a value above any threshold.
    probabilities = ops.where(counts > 0, ops.exp(-ops.stop_gradient(losses)), 2.0)
    least = ops.convert_to_tensor(least, "int32")
    flat = ops.sort(ops.reshape(probabilities, (-1,)))
    at = ops.clip(least - 1, 0, ops.cast(ops.size(flat), "int32") - 1)
    limit = ops.where(least > 0, ops.maximum(threshold, ops.take(flat, at)), threshold)
    is_hard = ops.cast(probabilities < limit, "float32")
    has_more = ops.sum(counts) > ops.cast(least, "float32")
    kept = counts * ops.where(has_more, is_hard, 1.0)
    return ops.mean(losses * kept) / (ops.mean(kept) + OHEM_EPSILON)


def dice(logits: Any, labels: Any) -> Any:
    """1 minus the Dice coefficient, averaged over images and classes, absent ones included, ()."""
    counts = ops.cast(ops.not_equal(labels, IGNORED), "float32")[..., None]
    probabilities = ops.softmax(logits) * counts
    truth = _one_hot(labels, logits.shape[-1]) * counts
    shared = ops.sum(probabilities * truth, axis=(1, 2))
    areas = ops.sum(probabilities, axis=(1, 2)) + ops.sum(truth, axis=(1, 2))
    return ops.mean(1 - (2 * shared + DICE_SMOOTH) / (areas + DICE_SMOOTH))


def lovasz_softmax(logits: Any, labels: Any) -> Any:
    """The Lovasz extension of the Jaccard loss, averaged over the classes in the batch, ()."""
    classes = logits.shape[-1]
    counts = ops.reshape(ops.cast(ops.not_equal(labels, IGNORED), "float32"), (1, -1))
    truth = ops.transpose(ops.reshape(_one_hot(labels, classes), (-1, classes))) * counts
    found = ops.transpose(ops.reshape(ops.softmax(logits), (-1, classes)))
    errors = ops.abs(truth - found) * counts
    # Ignored pixels sort last, where they do not affect the weights of those before them.
    order = ops.argsort(ops.stop_gradient(ops.where(counts > 0, -errors, 1.0)), axis=1)
    truth = ops.take_along_axis(truth, order, axis=1)
    errors = ops.take_along_axis(errors, order, axis=1)
    area = ops.sum(truth, axis=1, keepdims=True)
    union = area + ops.cumsum(1 - truth, axis=1)
    jaccard = 1 - (area - ops.cumsum(truth, axis=1)) / union
    weights = jaccard - ops.pad(jaccard[:, :-1], ((0, 0), (1, 0)))
    losses = ops.sum(errors * weights, axis=1)
    is_present = ops.cast(area[:, 0] > 0, "float32")
    return ops.sum(losses * is_present) / ops.maximum(ops.sum(is_present), 1.0)


class SegmentationLoss(keras.losses.Loss):
    """A mixture of losses, summed over the heads used in training.

    Targets are (N, H, W). Outputs are (N, heads, H, W, C): the logits of each head, resized to the
    targets' size; or (N, heads, H', W', C), those of every step-th pixel, starting at `step // 2`.
    """

    def __init__(
        self,
        *,
        pixel_loss: PixelLoss = "cross-entropy",
        class_weights: Sequence[float] | None = None,
        ohem_threshold: float = 0.7,
        hard_pixels: float = 0.062,
        dice_part: float = 0.0,
        lovasz_part: float = 0.0,
        step: int = 1,
    ) -> None:
        """Mix the losses; what Dice and Lovasz leave of the weight goes to the pixel loss.

        Args:
            pixel_loss: cross-entropy; ohem or hardest: only of the pixels that are predicted worst.
            class_weights: for cross-entropy.
            hard_pixels: the fraction of a batch's pixels that hardest keeps, and ohem at least.
            step: only every step-th pixel counts, in both directions.
        """
        super().__init__(name="segmentation")
        self.pixel_loss, self.class_weights = pixel_loss, class_weights
        self.ohem_threshold, self.hard_pixels = ohem_threshold, hard_pixels
        self.dice_part, self.lovasz_part = dice_part, lovasz_part
        self.step = step

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss () of targets (N, H, W) and the heads' logits."""
        counted = slice(self.step // 2, None, self.step)
        labels = ops.cast(y_true[:, counted, counted], "int32")
        # The gradient of unstack is a stack, at a quarter of the cost of that of slices.
        heads = ops.unstack(ops.cast(y_pred, "float32"), axis=1)
        return sum(self._of_head(each, labels) for each in heads)

    def _of_head(self, logits: Any, labels: Any) -> Any:
        loss = 0.0
        pixel_part = 1 - self.dice_part - self.lovasz_part
        if pixel_part > 0:
            loss += pixel_part * self._of_pixels(logits, labels)
        if self.dice_part > 0:
            loss += self.dice_part * dice(logits, labels)
        if self.lovasz_part > 0:
            loss += self.lovasz_part * lovasz_softmax(logits, labels)
        return loss

    def _of_pixels(self, logits: Any, labels: Any) -> Any:
        if self.pixel_loss == "hardest":
            return hardest_cross_entropy(logits, labels, self.hard_pixels)
        if self.pixel_loss == "ohem":
            least = _part_of(self.hard_pixels, ops.size(labels))
            return ohem_cross_entropy(logits, labels, self.ohem_threshold, least)
        return cross_entropy(logits, labels, self.class_weights)


def _pixel_losses(logits: Any, labels: Any) -> tuple[Any, Any]:
    """(N, H, W) each: -log of the labels' probabilities, and 1 where a pixel counts, else 0."""
    losses = ops.sparse_categorical_crossentropy(_class_of(labels), logits, from_logits=True)
    return losses, ops.cast(ops.not_equal(labels, IGNORED), "float32")


def _class_of(labels: Any) -> Any:
    """The labels with IGNORED replaced by some valid class."""
    return ops.cast(ops.where(ops.equal(labels, IGNORED), 0, labels), "int32")


def _one_hot(labels: Any, classes: int) -> Any:
    return ops.one_hot(_class_of(labels), classes, dtype="float32")


def _part_of(part: float, count: Any) -> Any:
    """The given fraction of `count`, a number or a tensor, rounded down; int32."""
    return ops.cast(ops.floor(part * ops.cast(count, "float32")), "int32")
