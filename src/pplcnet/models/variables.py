"""Reads a Keras variable as a numpy array on every backend."""

from __future__ import annotations

import keras
import numpy as np

__all__ = ["value_of"]


def value_of(variable: keras.Variable) -> np.ndarray:
    """A copy of the variable's value.

    Converted as a tensor: numpy 2 warns about the array interface of the variables themselves.
    """
    return np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)))
