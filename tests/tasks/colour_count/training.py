"""The half of the task that needs Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pplcnet.models.build import build_model
from pplcnet.tasks.task_training import Objective, TaskTraining
from pplcnet.tasks.views import random_view


def _objective(recipe: Any, dataset: Any) -> Objective:
    loss = keras.losses.Huber(recipe.options.huber_delta)
    return Objective(loss, [keras.metrics.MeanAbsoluteError(name="error")])


TRAINING = TaskTraining(
    build=lambda name, classes, size, options: build_model(
        name, num_classes=1, image_size=size, **options
    ),
    targets=lambda dataset: np.array(
        [[image.annotation.value] for image in dataset.images], np.float32
    ),
    view=random_view,
    objective=_objective,
)
