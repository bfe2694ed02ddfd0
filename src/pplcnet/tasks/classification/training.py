"""Training of classification: one class per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pplcnet.data.dataset import Dataset
from pplcnet.models.build import build_model
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.classification.distillation import distillation
from pplcnet.tasks.classification.losses import class_loss, class_targets
from pplcnet.tasks.task_training import ImageSize, Objective, TaskTraining
from pplcnet.tasks.views import random_view

__all__ = ["TRAINING"]


def _build(
    name: str, classes: Sequence[str], image_size: ImageSize | None, options: Mapping[str, Any]
) -> keras.Model:
    return build_model(name, num_classes=len(classes), image_size=image_size, **options)


def _objective(recipe: Recipe, dataset: Dataset) -> Objective:
    return Objective(class_loss(recipe, dataset), [keras.metrics.CategoricalAccuracy(name="top1")])


TRAINING = TaskTraining(
    build=_build,
    targets=class_targets,
    view=random_view,
    objective=_objective,
    distillation=distillation,
)
