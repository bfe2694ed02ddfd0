"""Training of multi-label classification: any number of labels per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pplcnet.data.dataset import Dataset
from pplcnet.models.build import build_model
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.multilabel.losses import MultiLabelLoss, known_labels_right, label_targets
from pplcnet.tasks.multilabel.options import MultilabelOptions
from pplcnet.tasks.task_training import ImageSize, Objective, TaskTraining
from pplcnet.tasks.views import random_view

__all__ = ["TRAINING"]


def _build(
    name: str, classes: Sequence[str], image_size: ImageSize | None, options: Mapping[str, Any]
) -> keras.Model:
    return build_model(name, num_classes=len(classes), image_size=image_size, **options)


def _objective(recipe: Recipe, dataset: Dataset) -> Objective:
    options = recipe.options_as(MultilabelOptions)
    is_asymmetric = options.multilabel_loss == "asymmetric"
    loss = MultiLabelLoss(
        is_asymmetric=is_asymmetric,
        label_smoothing=0.0 if is_asymmetric else options.label_smoothing,
    )
    # Not mAP, which is meaningless for a batch.
    right = keras.metrics.MeanMetricWrapper(known_labels_right, name="accuracy")
    return Objective(loss, [right])


TRAINING = TaskTraining(
    build=_build,
    targets=label_targets,
    view=random_view,
    objective=_objective,
)
