"""Moving averages of the weights, and BatchNorm's statistics measured again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.models.layers import uncompiled
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe

__all__ = ["averaged_weights", "recalibrate"]


@contextmanager
def averaged_weights(model: keras.Model, recipe: Recipe) -> Iterator[None]:
    """Within, the compiled model has moving averages for weights, if the recipe says so.

    Keras' optimiser keeps them; BatchNorm's statistics are moving averages already.
    """
    if not recipe.ema:
        yield
        return
    own = [value_of(variable) for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # A copy: with JAX, prediction gives away its model's buffers, which the averages share.
        variable.assign(value_of(variable))
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)


def recalibrate(model: keras.Model, parts: Iterable[NDArray[np.float32]]) -> None:
    """Set BatchNorm's statistics to the means over some parts (N, H, W, 3) of training images.

    During training they lag behind the weights, which still change (Wu and Johnson 2021,
    arXiv 2105.07576, section 3). Parts of one size have the same weight in the means.
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not layers:
        return
    variables = [each for layer in layers for each in (layer.moving_mean, layer.moving_variance)]
    momenta = [layer.momentum for layer in layers]
    sums: list[NDArray[np.float64]] = []
    count = 0
    try:
        for layer in layers:
            layer.momentum = 0.0  # the statistics are then those of the last part
        for images in parts:
            with uncompiled(), _without_gradients():
                model(images, training=True)
            found = [value_of(each).astype(np.float64) for each in variables]
            sums = [a + b for a, b in zip(sums, found, strict=True)] if count else found
            count += 1
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for variable, total in zip(variables, sums, strict=True):
        variable.assign(total / count)


def _without_gradients() -> AbstractContextManager[object]:
    """Elsewhere nobody records them; PyTorch would keep every feature map of a part."""
    if keras.backend.backend() != "torch":
        return nullcontext()
    import torch

    return torch.no_grad()
