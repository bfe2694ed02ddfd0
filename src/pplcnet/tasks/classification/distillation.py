"""Distillation: another network's answers become part of the targets.

Keras' own `Distiller` runs teacher and student in one framework and needs labels; here the teacher
may run anywhere, and unlabelled images help too.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from pplcnet.data.dataset import Dataset
from pplcnet.errors import RecipeError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.classification.losses import class_loss
from pplcnet.tasks.classification.options import ClassificationOptions
from pplcnet.tasks.classification.teachers import Teacher, layer_of, open_teacher
from pplcnet.tasks.task_training import Distillation, Objective

__all__ = ["DistillationLoss", "LabelledAccuracy", "distillation", "student_network"]


def distillation(
    recipe: Recipe, dataset: Dataset, preprocessing: Preprocessing
) -> Distillation | None:
    """How the recipe's teacher or second student teaches; None if it has neither.

    Raises:
        BundleError: the teacher's bundle cannot be opened.
        InputError: no such file, or a teacher with other classes.
    """
    options = recipe.options_as(ClassificationOptions)
    if not options.distils:
        return None
    teacher = open_teacher(recipe, dataset.classes, preprocessing)

    def objective(recipe: Recipe, dataset: Dataset) -> Objective:
        classes = len(dataset.classes)
        hard = class_loss(recipe, dataset, all_have_a_class=options.unlabelled is None)
        features = math.prod(teacher.features) if teacher and teacher.features else 0
        return Objective(
            DistillationLoss(recipe, classes, hard, features=features),
            [LabelledAccuracy(classes)],
            lambda network, *peers: student_network(network, recipe, teacher, *peers),
        )

    return Distillation(
        objective, None if teacher is None else teacher.answers, has_peer=teacher is None
    )


class LabelledAccuracy(keras.metrics.Mean):
    """Top-1 over the images that have a class; targets have further columns after the classes."""

    def __init__(self, classes: int) -> None:
        super().__init__(name="top1")
        self.classes = classes

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add a batch; images without a class do not count."""
        labels = y_true[:, : self.classes]
        is_right = ops.equal(
            ops.argmax(labels, axis=-1), ops.argmax(y_pred[:, : self.classes], axis=-1)
        )
        return super().update_state(is_right, sample_weight=ops.sum(labels, axis=-1))


class DistillationLoss(keras.losses.Loss):
    """The loss against the labels plus the loss against another network's answers.

    Targets are [classes | teacher's logits | teacher's features], outputs [logits | features]; for
    mutual learning, targets are [classes] and outputs [logits | the other's logits].
    """

    def __init__(
        self, recipe: Recipe, classes: int, hard: keras.losses.Loss, *, features: int = 0
    ) -> None:
        super().__init__(name="distillation")
        options = recipe.options_as(ClassificationOptions)
        self.kind = options.distillation
        self.weight = options.distillation_weight
        self.temperature = options.distillation_temperature
        self.classes = classes
        self.hard = hard
        self.features = features

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss (N,) of targets and outputs as above."""
        targets, logits = y_true[:, : self.classes], y_pred[:, : self.classes]
        if self.kind == "mutual":
            return self._mutual(targets, logits, y_pred[:, self.classes :])
        taught = y_true[:, self.classes : 2 * self.classes]
        if self.kind == "ssld":
            # Cui et al. 2021, arXiv 2103.05959: the divergences of both directions, no labels.
            losses = (_divergence(taught, logits, 1.0) + _divergence(logits, taught, 1.0)) / 2
        else:
            # Hinton et al. 2015, arXiv 1503.02531: the square preserves the gradient's scale.
            soft = _divergence(taught, logits, self.temperature) * self.temperature**2
            losses = self.weight * soft + (1 - self.weight) * self.hard.call(targets, logits)
        if self.features:
            difference = y_pred[:, self.classes :] - y_true[:, 2 * self.classes :]
            losses = losses + self.weight * ops.mean(ops.square(difference), axis=-1)
        return losses

    def _mutual(self, targets: Any, one: Any, other: Any) -> Any:
        """Zhang et al. 2017, arXiv 1706.00384: each follows the other, which is held constant."""
        losses = 0.0
        for own, peer in ((one, other), (other, one)):
            followed = _divergence(ops.stop_gradient(peer), own, 1.0)
            losses += (1 - self.weight) * self.hard.call(targets, own) + self.weight * followed
        return losses


def _divergence(target: Any, answer: Any, temperature: float) -> Any:
    """Kullback-Leibler divergence (N,) of softmax(answer / t) from softmax(target / t)."""
    log_target = ops.log_softmax(target / temperature)
    log_answer = ops.log_softmax(answer / temperature)
    return ops.sum(ops.exp(log_target) * (log_target - log_answer), axis=-1)


def student_network(
    network: keras.Model,
    recipe: Recipe,
    teacher: Teacher | None = None,
    peer: keras.Model | None = None,
) -> keras.Model:
    """The model that is trained: the network, or one with more outputs than its logits.

    The further outputs are the features to compare with the teacher's, or the logits of `peer`, a
    second student.
    """
    if peer is not None:
        answers = [network.output, peer(network.input)]
    elif teacher is not None and teacher.features:
        answers = [network.output, _projected(network, recipe, teacher.features)]
    else:
        return network
    return keras.Model(
        network.input, keras.layers.Concatenate(dtype="float32", name="answers")(answers)
    )


def _projected(network: keras.Model, recipe: Recipe, features: tuple[int, ...]) -> Any:
    layers = recipe.options_as(ClassificationOptions).distillation_layers
    name = layers.partition(":")[0].strip()
    own = layer_of(network, name).output
    if len(features) == 3 and tuple(own.shape[1:3]) == tuple(features[:2]):
        projection = keras.layers.Conv2D(features[2], 1, name="distillation_projection")
        return keras.layers.Flatten(name="distillation_features")(projection(own))
    raise RecipeError(
        f"distillation_layers is {layers!r}: the student's features are "
        f"{tuple(own.shape[1:])}, the teacher's {features}; height and width must be the same "
        "(avg_pool of a network of the catalog always is)."
    )
