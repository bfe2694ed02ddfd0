"""The loss and the targets of multi-label classification."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pplcnet.data.annotations import PRESENT, UNKNOWN
from pplcnet.data.dataset import Dataset
from pplcnet.tasks.multilabel.measures import marks_of

__all__ = ["MultiLabelLoss", "known_labels_right", "label_targets", "targets_of"]

# Ridnik et al. 2021, arXiv 2009.14119: the focusing exponent of absent labels, and how far an
# absent label's probability is shifted down. Present labels have an exponent of 0, so they get no
# factor: as a power, its gradient is NaN once a probability rounds to 1.
FOCUS_ABSENT, FORGIVEN = 4.0, 0.05


def label_targets(dataset: Dataset) -> NDArray[np.float32]:
    """(N, labels): 1 for a label that is present, 0 for one that is absent, NaN if unknown."""
    return targets_of(marks_of(dataset.images, len(dataset.classes)))


def targets_of(marks: NDArray[np.int8]) -> NDArray[np.float32]:
    """The targets (N, labels) of marks (N, labels)."""
    return np.where(marks == UNKNOWN, np.float32("nan"), (marks == PRESENT).astype(np.float32))


class MultiLabelLoss(keras.losses.Loss):
    """Binary cross-entropy of every known label, summed over an image's labels.

    A NaN target adds nothing, and its logit gets no gradient. With `is_asymmetric`, it is the
    asymmetric loss of Ridnik et al. 2021 (arXiv 2009.14119) instead.
    """

    def __init__(self, *, is_asymmetric: bool = False, label_smoothing: float = 0.0) -> None:
        super().__init__(name="multi_label")
        self.is_asymmetric = is_asymmetric
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss (N,) of targets (N, labels) and logits (N, labels)."""
        is_known = ops.logical_not(ops.isnan(y_true))
        present = ops.where(is_known, y_true, ops.zeros_like(y_true))
        present = present * (1 - self.label_smoothing) + self.label_smoothing / 2
        # -log(sigmoid(x)) is softplus(-x).
        if_present, if_absent = ops.softplus(-y_pred), ops.softplus(y_pred)
        if self.is_asymmetric:
            left = ops.maximum(ops.sigmoid(y_pred) - FORGIVEN, 0.0)
            if_absent = -ops.log(1 - left) * left**FOCUS_ABSENT
        losses = present * if_present + (1 - present) * if_absent
        return ops.sum(ops.where(is_known, losses, ops.zeros_like(losses)), axis=-1)


def known_labels_right(y_true: Any, y_pred: Any) -> Any:
    """The share (N,) of an image's known labels whose logit has the right sign."""
    is_known = ops.logical_not(ops.isnan(y_true))
    is_right = ops.logical_and(is_known, ops.equal(y_true > 0.5, y_pred > 0))
    counts = ops.sum(ops.cast(is_known, y_pred.dtype), axis=-1)
    return ops.sum(ops.cast(is_right, y_pred.dtype), axis=-1) / ops.maximum(counts, 1)
