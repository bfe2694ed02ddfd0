"""Stochastic depth: in training, blocks that have a shortcut are skipped at random."""

from __future__ import annotations

import zlib
from typing import Any

import keras
from keras import ops

from pplcnet.errors import RecipeError

__all__ = ["with_stochastic_depth"]


class _RandomSum(keras.layers.Layer):
    """shortcut + features; in training, some images get the shortcut alone (Huang et al. 2016)."""

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = rate
        # PyTorch's seeds are signed 32-bit integers.
        self.seed_generator = keras.random.SeedGenerator(zlib.crc32(self.name.encode()) >> 1)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The sum; in training, features that are kept are divided by 1 - rate."""
        shortcut, features = inputs
        if training:
            shape = (ops.shape(features)[0], 1, 1, 1)
            drawn = keras.random.uniform(shape, seed=self.seed_generator)
            stays = ops.cast(drawn >= self.rate, features.dtype)
            features = features * stays / (1 - self.rate)
        return shortcut + features

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The inputs' shape."""
        return input_shape[0]


def with_stochastic_depth(model: keras.Model, rate: float) -> keras.Model:
    """A model with the same layers whose blocks are skipped, at rates from 0 to `rate` at the last.

    Raises:
        RecipeError: the network has no shortcuts.
    """
    if rate == 0:
        return model
    names = [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.Add) and layer.name.endswith("_add")
    ]
    if not names:
        raise RecipeError(
            f"drop_path is {rate}, but {model.name} has no shortcuts that could be skipped; leave "
            "it at 0."
        )
    rates = {name: rate * (at + 1) / len(names) for at, name in enumerate(names)}

    def replaced(layer: keras.Layer) -> keras.Layer:
        if layer.name in rates:
            return _RandomSum(rates[layer.name], name=layer.name)
        return layer

    return keras.models.clone_model(model, clone_function=replaced)
