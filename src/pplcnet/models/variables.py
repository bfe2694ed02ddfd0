"""Reading a Keras variable as a numpy array, the same on every backend."""

from __future__ import annotations

import keras
import numpy as np

__all__ = ["value_of"]


def value_of(variable: keras.Variable) -> np.ndarray:
    """A copy of the variable's value.

    Through a tensor: variables themselves hand numpy an interface that numpy 2 warns of.
    """
    return np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)))
