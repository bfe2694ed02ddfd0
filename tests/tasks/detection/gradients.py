"""Gradients on every backend, for tests of losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def value_and_gradients(
    function: Callable[..., Any], *arrays: np.ndarray, is_graph: bool = True
) -> tuple[float, list[np.ndarray]]:
    """A number that a function of tensors gives, and its gradient for each of them.

    With TensorFlow as a graph, as training computes it, or operator by operator, which is faster
    for a single call.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        places = tuple(range(len(arrays)))
        value, found = jax.jit(jax.value_and_grad(function, argnums=places))(*arrays)
        return float(value), [np.asarray(each) for each in found]
    if backend == "torch":
        import torch

        tensors = [torch.tensor(each, requires_grad=True) for each in arrays]
        value = function(*tensors)
        value.backward()
        return float(value.detach()), [each.grad.numpy() for each in tensors]
    import tensorflow as tf

    def run(*tensors: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return value, tape.gradient(value, tensors)

    value, found = (tf.function(run) if is_graph else run)(*map(tf.constant, arrays))
    return float(value), [each.numpy() for each in found]
