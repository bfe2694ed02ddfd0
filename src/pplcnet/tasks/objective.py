"""What a step's answers are held against: the loss and the accuracy, by recipe and task.

Targets are (N, T) float32: a column for each class, then what a teacher says (`distillation`). A
photo without a class has zeros there, and the loss of the classes is nothing for it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pplcnet.data.dataset import MULTI, Dataset
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.losses import MultiLabelLoss, known_labels_right
from pplcnet.training.distillation import DistillationLoss

__all__ = ["ClassLoss", "balanced_weights", "loss_and_metrics"]


class ClassLoss(keras.losses.Loss):
    """Cross-entropy of softmax, focal or weighted by class; nothing for photos without a class."""

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__(name="classes")
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.weights = weights

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss (N,) of targets (N, classes) and logits (N, classes).

        Focal: each class's term times (1 - p) ** gamma (Lin et al. 2017, arXiv 1708.02002).
        """
        is_labelled = ops.sum(y_true, axis=-1, keepdims=True)
        smoothing = self.label_smoothing
        targets = y_true * (1 - smoothing) + is_labelled * (smoothing / y_true.shape[-1])
        logs = ops.log_softmax(y_pred)
        if self.focal_gamma:
            logs = logs * (1 - ops.exp(logs)) ** self.focal_gamma
        losses = -ops.sum(targets * logs, axis=-1)
        if self.weights is not None:
            losses = losses * ops.sum(y_true * self.weights, axis=-1)
        return losses


def balanced_weights(dataset: Dataset) -> NDArray[np.float32]:
    """What a photo of each class counts: images / (classes * images of the class)."""
    counts: NDArray[np.float64] = np.maximum(np.asarray(dataset.class_counts(), np.float64), 1)
    return (counts.sum() / (len(counts) * counts)).astype(np.float32)


def loss_and_metrics(recipe: Recipe, dataset: Dataset, *, features: int = 0) -> dict[str, Any]:
    """`loss` and `metrics` for `compile`.

    Args:
        features: numbers of the teacher's features that the student's are compared with.
    """
    classes = len(dataset.classes)
    if dataset.task == MULTI:
        is_asymmetric = recipe.multilabel_loss == "asymmetric"
        loss: keras.losses.Loss = MultiLabelLoss(
            is_asymmetric=is_asymmetric,
            label_smoothing=0.0 if is_asymmetric else recipe.label_smoothing,
        )
        right = keras.metrics.MeanMetricWrapper(known_labels_right, name="accuracy")
        return {"loss": loss, "metrics": [right]}
    loss = _class_loss(recipe, dataset)
    if not recipe.distils:
        return {"loss": loss, "metrics": [keras.metrics.CategoricalAccuracy(name="accuracy")]}

    return {
        "loss": DistillationLoss(recipe, classes, loss, features=features),
        "metrics": [_LabelledAccuracy(classes)],
    }


class _LabelledAccuracy(keras.metrics.Mean):
    """Top-1 over the photos that have a label, of targets with more columns than the classes."""

    def __init__(self, classes: int) -> None:
        super().__init__(name="accuracy")
        self.classes = classes

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add a batch; photos without a label count nothing."""
        labels = y_true[:, : self.classes]
        is_right = ops.equal(
            ops.argmax(labels, axis=-1), ops.argmax(y_pred[:, : self.classes], axis=-1)
        )
        return super().update_state(is_right, sample_weight=ops.sum(labels, axis=-1))


def _class_loss(recipe: Recipe, dataset: Dataset) -> keras.losses.Loss:
    is_plain = recipe.loss == "cross-entropy" and recipe.class_weights == "none"
    if is_plain and recipe.unlabelled is None:
        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )
    return ClassLoss(
        label_smoothing=recipe.label_smoothing,
        focal_gamma=recipe.focal_gamma if recipe.loss == "focal" else 0.0,
        weights=balanced_weights(dataset) if recipe.class_weights == "balanced" else None,
    )
