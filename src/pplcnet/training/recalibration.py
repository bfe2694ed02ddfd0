"""Measures BatchNorm's statistics anew on training images, before every validation.

The moving statistics lag behind the weights during training (Wu and Johnson 2021,
arXiv 2105.07576, section 3). Training itself does not use them, so it is not affected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.layers import uncompiled
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.batches import TrainingBatches

__all__ = ["Recalibration", "recalibrate"]

AT_ONCE = 64
"""Images: enough for stable statistics even where the last feature map has few positions."""
AT_ONCE_PIXELS = 64 * 224 * 224
"""Larger images go in smaller parts, as memory grows with their pixels, and so does the number of
positions in the last feature map."""
LEAST_AT_ONCE = 16
"""A head that pools over the whole image has one position per image."""
MOST_KEPT = 256 << 20
"""Bytes of views that are kept from epoch to epoch: 1,700 of 224x224 pixels."""

Forward = Callable[[NDArray[np.float32]], object]


class Recalibration:
    """Measures a network's statistics, each time on the same views of training images."""

    def __init__(
        self,
        network: keras.Model,
        batches: TrainingBatches,
        recipe: Recipe,
        preprocessing: Preprocessing,
    ) -> None:
        self._network = network
        self._batches = batches
        self._recipe = recipe
        self._preprocessing = preprocessing
        self._forward: Forward | None = None
        self._kept: NDArray[np.uint8] | None = None

    def __call__(self) -> None:
        """Measure and set the statistics; ImageError when an image can no longer be read."""
        if not self._recipe.recalibrate_batchnorm:
            return
        if self._forward is None:
            self._forward = _forward(self._network)
        views = self._views()
        height, width = views.shape[1:3]
        at_once = max(LEAST_AT_ONCE, AT_ONCE_PIXELS // (height * width))
        parts = np.array_split(views, max(1, len(views) // min(AT_ONCE, at_once)))
        normalize = self._preprocessing.normalize
        recalibrate(self._network, (normalize(part) for part in parts), self._forward)

    def _views(self) -> NDArray[np.uint8]:
        """Views (N, height, width, 3), recomputed only if they are too many to be kept."""
        if self._kept is not None:
            return self._kept
        batches, wanted = self._batches, self._recipe.recalibrate_batchnorm or 0
        steps = min(batches.steps_per_epoch, -(-wanted // batches.batch_size))
        # Views of the last epoch have the full size, even with progressive resizing.
        chosen = [batch.images for batch in islice(batches.epoch(self._recipe.epochs), steps)]
        views = np.concatenate(chosen)
        if views.nbytes <= MOST_KEPT:
            self._kept = views
        return views


def recalibrate(
    model: keras.Model, parts: Iterable[NDArray[np.float32]], forward: Forward | None = None
) -> None:
    """Set BatchNorm's statistics to the means over parts (N, H, W, 3) of the training images.

    Parts of equal size have equal weight in the means.

    Args:
        forward: runs the model in training mode; by default created for this call.
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not layers:
        return
    forward = forward or _forward(model)
    variables = [each for layer in layers for each in (layer.moving_mean, layer.moving_variance)]
    momenta = [layer.momentum for layer in layers]
    sums: list[NDArray[np.float64]] = []
    count = 0
    try:
        for layer in layers:
            layer.momentum = 0.0  # the statistics are then those of the last part
        for images in parts:
            forward(images)
            found = [value_of(each).astype(np.float64) for each in variables]
            sums = [a + b for a, b in zip(sums, found, strict=True)] if count else found
            count += 1
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for variable, total in zip(variables, sums, strict=True):
        variable.assign(total / count)


def _forward(model: keras.Model) -> Forward:
    """A function that runs the model in training mode; with JAX, compiled as a whole for speed.

    Either way, dropout's random state advances.
    """
    if keras.backend.backend() != "jax":

        def run(images: NDArray[np.float32]) -> object:
            with uncompiled(), _without_gradients():
                return model(images, training=True)

        return run
    import jax

    @jax.jit
    def changed(trained: list[Any], others: list[Any], images: Any) -> list[Any]:
        _, others = model.stateless_call(trained, others, images, training=True)
        return others

    def run_compiled(images: NDArray[np.float32]) -> object:
        others = model.non_trainable_variables
        trained = [each.value for each in model.trainable_variables]
        values = changed(trained, [each.value for each in others], images)
        for variable, value in zip(others, values, strict=True):
            variable.assign(value)
        return None

    return run_compiled


def _without_gradients() -> AbstractContextManager[object]:
    """Disables gradients in PyTorch, which would otherwise keep every feature map of a part."""
    if keras.backend.backend() != "torch":
        return nullcontext()
    import torch

    return torch.no_grad()
