"""Weights whose BatchNorm is folded into the convolutions, as in deployed models.

Such a network predicts as it is, but it cannot be trained: BatchNorm in training mode would
discard its bias and scale. Unfolding measures the mean m and variance v of every convolution's
output on training images and sets gamma = sqrt(v + epsilon), beta = m + bias, moving mean m and
moving variance v, which computes the same in inference, and nearly the same in training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from pplcnet.models.blocks import layer_name
from pplcnet.models.variables import value_of

__all__ = ["has_neutral_norms", "is_folded", "unfold", "with_neutral_norms"]


def is_folded(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether these are the original's names without any BatchNorm."""
    is_whole = "conv1.weight" in tensors or "conv1.conv.bias" in tensors
    return is_whole and not any(name.endswith("._mean") for name in tensors)


def with_neutral_norms(
    model: keras.Model, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The state dict of the same network with BatchNorms that only add the bias.

    `blocks3.0.dw_conv.weight` (or `blocks3.0.dw_conv.conv.weight`) becomes the kernel of the layer
    `blocks3_0_dw_conv_conv`, and the bias the shift of the BatchNorm that follows it.
    """
    norms = {
        layer.input._keras_history.operation.name: layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    state: dict[str, np.ndarray] = {}
    for key, tensor in tensors.items():
        path, _, part = key.rpartition(".")
        name = layer_name(path) if layer_name(path) in norms else layer_name(f"{path}.conv")
        norm = norms.get(name)
        if norm is None:
            state[key] = tensor
        elif part == "weight":
            state[f"{name}.weight"] = tensor
        else:
            ones = np.ones_like(tensor)
            state[f"{norm.name}.weight"] = ones
            state[f"{norm.name}.bias"] = tensor
            state[f"{norm.name}._mean"] = ones * 0
            state[f"{norm.name}._variance"] = ones * (1 - norm.epsilon)
    return state


def has_neutral_norms(model: keras.Model) -> bool:
    """Whether the model has BatchNorms from `with_neutral_norms`, which `unfold` replaces."""
    # No other network has a variance of 1 - epsilon.
    return any(
        np.allclose(value_of(norm.moving_variance), 1 - norm.epsilon, rtol=0, atol=1e-6)
        and not value_of(norm.moving_mean).any()
        for norm in _norms_in_use(model)
    )


def _norms_in_use(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The BatchNorms except those still as built, for which the weights had no values."""
    return [
        norm
        for norm in model.layers
        if isinstance(norm, keras.layers.BatchNormalization)
        and not ((value_of(norm.moving_variance) == 1).all() and not value_of(norm.beta).any())
    ]


def unfold(model: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Give neutral BatchNorms the statistics of real images; inference stays the same.

    Args:
        model: a model with weights loaded through `with_neutral_norms`.
        batches: normalised training images (N, H, W, 3), a few hundred in all.
    """
    norms = _norms_in_use(model)
    inside = keras.Model(model.input, [norm.input for norm in norms])
    sums = [np.zeros(norm.gamma.shape[0], np.float64) for norm in norms]
    squares = [each.copy() for each in sums]
    counts = [0] * len(norms)
    for images in batches:
        for at, features in enumerate(inside.predict_on_batch(images)):
            flat = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
            sums[at] += flat.sum(axis=0)
            squares[at] += (flat**2).sum(axis=0)
            counts[at] += len(flat)
    for norm, total, square, count in zip(norms, sums, squares, counts, strict=True):
        mean = total / count
        variance = np.maximum(square / count - mean**2, 0)
        # The norm keeps computing `scale * x + shift`.
        deviation = np.sqrt(value_of(norm.moving_variance).astype(np.float64) + norm.epsilon)
        scale = value_of(norm.gamma) / deviation
        shift = value_of(norm.beta) - value_of(norm.moving_mean) * scale
        norm.gamma.assign(scale * np.sqrt(variance + norm.epsilon))
        norm.beta.assign(shift + scale * mean)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)
