"""Several GPUs of one machine: each takes a part of every batch, all keep the same weights.

TensorFlow's MirroredStrategy, with Keras' own training step on every device. Gradients are summed
over the devices; BatchNorm's statistics in training are those of a device's own part, and the
moving ones the mean of all (Goyal et al. 2017, arXiv 1706.02677).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import RecipeError
from pplcnet.recipe.recipe import Recipe

__all__ = ["Devices", "Step"]

Step = Callable[[NDArray[np.float32], NDArray[np.float32]], dict[str, Any]]
"""A batch's images and targets to the step's loss and metrics; it changes the model."""


class Devices:
    """Where the steps of a run are computed: on one device, or on the recipe's number of them."""

    def __init__(self, recipe: Recipe) -> None:
        """RecipeError for more devices than this machine has, or a backend that cannot use them."""
        self._strategy = _strategy(recipe.devices) if recipe.devices > 1 else None

    def scope(self) -> AbstractContextManager[Any]:
        """Models to be trained are built and compiled within."""
        return nullcontext() if self._strategy is None else self._strategy.scope()

    def step_of(self, model: keras.Model) -> Step:
        """The training step of a model that was built and compiled in the scope."""
        if self._strategy is None:
            return lambda images, targets: model.train_on_batch(images, targets, return_dict=True)
        return _shared_step(model, self._strategy)

    def on_one(self, model: keras.Model) -> keras.Model:
        """The same layers as a model for prediction on one device, made outside of the scope."""
        return model if self._strategy is None else keras.Model(model.inputs, model.outputs)


def _strategy(count: int) -> Any:
    if keras.backend.backend() != "tensorflow":
        raise RecipeError(
            f"devices is {count}; several work with TensorFlow, this is "
            f"{keras.backend.backend()}. Set devices=1, or KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(found) < count:
        raise RecipeError(
            f"devices is {count}; TensorFlow sees {len(found)} {kind} here. Set devices to 1 to "
            f"{len(found)}."
            if len(found) > 1
            else f"devices is {count}; TensorFlow sees one {kind} here. Set devices=1."
        )
    return tf.distribute.MirroredStrategy(found[:count])


def _shared_step(model: keras.Model, strategy: Any) -> Step:
    import tensorflow as tf

    count = strategy.num_replicas_in_sync

    @tf.function(reduce_retracing=True)
    def run(data: Any) -> None:
        strategy.run(model.train_step, args=(data,))

    def share(values: NDArray[np.float32]) -> Any:
        parts = np.split(values, count)
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    def step(images: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, Any]:
        model.reset_metrics()
        run((share(images), share(targets)))
        return dict(model.get_metrics_result())

    return step
