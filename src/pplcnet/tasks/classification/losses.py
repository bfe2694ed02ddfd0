"""The loss and the targets of single-label classification."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.classification.options import ClassificationOptions

__all__ = ["ClassLoss", "balanced_weights", "class_loss", "class_targets"]


def class_targets(dataset: Dataset) -> NDArray[np.float32]:
    """(N, classes): 1 for the image's class, 0 for the others."""
    labels = np.asarray([image.shown[0] for image in dataset.images], np.int32)
    return np.eye(len(dataset.classes), dtype=np.float32)[labels]


class ClassLoss(keras.losses.Loss):
    """Cross-entropy of softmax, focal or weighted by class; 0 for images without a class."""

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
        self.weights = None if weights is None else ops.convert_to_tensor(weights)

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
    """The weight of each class's images: images / (classes * images of the class)."""
    counts: NDArray[np.float64] = np.maximum(np.asarray(dataset.class_counts(), np.float64), 1)
    return (counts.sum() / (len(counts) * counts)).astype(np.float32)


def class_loss(
    recipe: Recipe, dataset: Dataset, *, all_have_a_class: bool = True
) -> keras.losses.Loss:
    """The loss that the recipe asks for.

    Args:
        all_have_a_class: False if some targets are 0 for every class.
    """
    options = recipe.options_as(ClassificationOptions)
    is_plain = options.loss == "cross-entropy" and options.class_weights == "none"
    if is_plain and all_have_a_class:
        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=options.label_smoothing
        )
    return ClassLoss(
        label_smoothing=options.label_smoothing,
        focal_gamma=options.focal_gamma if options.loss == "focal" else 0.0,
        weights=balanced_weights(dataset) if options.class_weights == "balanced" else None,
    )
