"""What a step learns from: class indices, or marks of several labels, as targets; their losses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pplcnet.data.annotations import PRESENT, UNKNOWN
from pplcnet.data.dataset import MULTI, Dataset
from pplcnet.tasks.multilabel.measures import marks_of

__all__ = ["MultiLabelLoss", "known_labels_right", "labels_of", "targets_of"]

# Ridnik et al. 2021, arXiv 2009.14119: what shown and absent labels are focused by, and how much
# of an absent label's probability is forgiven.
FOCUS_SHOWN, FOCUS_ABSENT, FORGIVEN = 0.0, 4.0, 0.05


def labels_of(dataset: Dataset) -> NDArray[Any]:
    """(N,) int32 class indices; or, for multi-label data, (N, labels) int8 marks."""
    if dataset.task == MULTI:
        return marks_of(dataset.images, len(dataset.classes))
    return np.asarray([image.shown[0] for image in dataset.images], np.int32)


def targets_of(labels: NDArray[Any], classes: int) -> NDArray[np.float32]:
    """Targets (N, classes) of such labels: 1, 0, and NaN where nobody knows."""
    if labels.ndim == 1:
        return np.eye(classes, dtype=np.float32)[labels]
    return np.where(labels == UNKNOWN, np.float32("nan"), (labels == PRESENT).astype(np.float32))


class MultiLabelLoss(keras.losses.Loss):
    """Binary cross-entropy of every known label, summed over a photo's labels.

    A target that is NaN counts nothing, and its logit has no gradient. With `is_asymmetric`, the
    asymmetric loss of Ridnik et al. 2021 (arXiv 2009.14119) in place of it.
    """

    def __init__(self, *, is_asymmetric: bool = False, label_smoothing: float = 0.0) -> None:
        super().__init__(name="multi_label")
        self.is_asymmetric = is_asymmetric
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss (N,) of targets (N, labels) and logits (N, labels)."""
        is_known = ops.logical_not(ops.isnan(y_true))
        shown = ops.where(is_known, y_true, ops.zeros_like(y_true))
        shown = shown * (1 - self.label_smoothing) + self.label_smoothing / 2
        # -log(sigmoid(x)) is softplus(-x).
        if_shown, if_absent = ops.softplus(-y_pred), ops.softplus(y_pred)
        if self.is_asymmetric:
            probability = ops.sigmoid(y_pred)
            left = ops.maximum(probability - FORGIVEN, 0.0)
            if_shown = if_shown * (1 - probability) ** FOCUS_SHOWN
            if_absent = -ops.log(1 - left) * left**FOCUS_ABSENT
        losses = shown * if_shown + (1 - shown) * if_absent
        return ops.sum(ops.where(is_known, losses, ops.zeros_like(losses)), axis=-1)


def known_labels_right(y_true: Any, y_pred: Any) -> Any:
    """The part (N,) of a photo's known labels whose logit has the right sign."""
    is_known = ops.logical_not(ops.isnan(y_true))
    is_right = ops.logical_and(is_known, ops.equal(y_true > 0.5, y_pred > 0))
    counts = ops.sum(ops.cast(is_known, y_pred.dtype), axis=-1)
    return ops.sum(ops.cast(is_right, y_pred.dtype), axis=-1) / ops.maximum(counts, 1)
