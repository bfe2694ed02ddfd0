"""Moving averages of the weights, and BatchNorm's statistics measured again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import keras
import numpy as np
from numpy.typing import NDArray

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
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)


def recalibrate(model: keras.Model, batches: Iterable[NDArray[np.float32]]) -> None:
    """Set BatchNorm's statistics to the means over some batches of training images.

    During training they lag behind the weights, which still change (Wu and Johnson 2021,
    arXiv 2105.07576, section 3).
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    momenta = [layer.momentum for layer in layers]
    sums: list[list[NDArray[np.float64]]] = []
    count = 0
    try:
        for layer in layers:
            layer.momentum = 0.0  # the statistics are then those of the last batch
        for images in batches:
            model(images, training=True)
            found = [
                [value_of(layer.moving_mean), value_of(layer.moving_variance)] for layer in layers
            ]
            sums = (
                found
                if not count
                else [
                    [total + each for total, each in zip(*pair, strict=True)]
                    for pair in zip(sums, found, strict=True)
                ]
            )
            count += 1
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for layer, (mean, variance) in zip(layers, sums, strict=True):
        layer.moving_mean.assign(mean / count)
        layer.moving_variance.assign(variance / count)
