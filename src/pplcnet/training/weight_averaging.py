"""Temporarily replaces a model's weights by their moving averages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe

__all__ = ["averaged_weights"]


@contextmanager
def averaged_weights(model: keras.Model, recipe: Recipe) -> Iterator[None]:
    """Within, the compiled model's weights are their moving averages, if the recipe says so.

    Keras' optimiser keeps the averages; BatchNorm's statistics are moving averages already.
    """
    if not recipe.ema:
        yield
        return
    own = [value_of(variable) for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # A copy: with JAX, prediction donates its model's buffers, which the averages share.
        variable.assign(value_of(variable))
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)
