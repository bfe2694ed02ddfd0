"""The cost of a network, counted from the built model: parameters and multiply-accumulates."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras

__all__ = ["Cost", "count_cost"]


class Cost(NamedTuple):
    """Counts for one image of the model's input size."""

    trainable_parameters: int
    moving_statistics: int
    """Moving means and variances of BatchNorm, which training updates without a gradient."""
    macs: int
    """Multiply-accumulates of convolutions and fully connected layers."""


def count_cost(model: keras.Model) -> Cost:
    """Count a built model's parameters and multiply-accumulates."""
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    moving = [variable for norm in norms for variable in norm.non_trainable_weights]
    return Cost(
        trainable_parameters=sum(math.prod(each.shape) for each in model.trainable_variables),
        moving_statistics=sum(math.prod(each.shape) for each in moving),
        macs=sum(_layer_macs(layer) for layer in model.layers),
    )


def _layer_macs(layer: keras.layers.Layer) -> int:
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return math.prod(layer.output.shape[1:]) * math.prod(layer.kernel_size)
    if isinstance(layer, keras.layers.Conv2D):
        inputs_per_output = math.prod(layer.kernel_size) * layer.input.shape[-1] // layer.groups
        return math.prod(layer.output.shape[1:]) * inputs_per_output
    if isinstance(layer, keras.layers.Dense):
        return layer.input.shape[-1] * layer.units
    return 0
