"""Folds BatchNorm and hard-sigmoid gates into a convolution's kernel and bias."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.models.layers import HardSigmoid
from pplcnet.models.variables import value_of

__all__ = ["Gate", "fold_batch_norm", "gate_after", "is_linear", "values_of"]

Array = NDArray[np.float32]


class Gate(NamedTuple):
    """A hard sigmoid, `clip(slope * x + offset, 0, 1)`, that follows a convolution."""

    name: str
    slope: float
    offset: float
    output: keras.KerasTensor


def is_linear(layer: keras.layers.Layer) -> bool:
    """Whether the layer has no built-in activation."""
    return keras.activations.serialize(layer.activation) == "linear"


def values_of(variable: keras.Variable) -> Array:
    """The variable's values, float32."""
    return value_of(variable).astype(np.float32)


def gate_after(
    layer: keras.layers.Layer, result: keras.KerasTensor, consumer: keras.layers.Layer | None
) -> Gate | None:
    """A convolution's hard sigmoid, its activation or its result's only consumer; None if none."""
    if keras.activations.serialize(layer.activation) == "hard_sigmoid":
        return Gate(f"{layer.name}.activation", 1 / 6, 0.5, result)
    if not is_linear(layer):
        return None
    if isinstance(consumer, HardSigmoid):
        return Gate(consumer.name, consumer.slope, consumer.offset, consumer.output)
    if isinstance(consumer, keras.layers.Activation) and (
        keras.activations.serialize(consumer.activation) == "hard_sigmoid"
    ):
        return Gate(consumer.name, 1 / 6, 0.5, consumer.output)
    return None


def fold_batch_norm(
    kernel: Array, bias: Array, norm: keras.layers.BatchNormalization
) -> tuple[Array, Array]:
    """Kernel (O,I,H,W) and bias of a convolution with BatchNorm folded in, computed in float64."""
    deviation = np.sqrt(values_of(norm.moving_variance).astype(np.float64) + norm.epsilon)
    factor = values_of(norm.gamma) / deviation
    shift = values_of(norm.beta) + (bias - values_of(norm.moving_mean)) * factor
    return (kernel * factor[:, None, None, None]).astype(np.float32), shift.astype(np.float32)
