"""The original's state dict onto a Keras model: every tensor to exactly one variable.

`blocks3.0.dw_conv.bn._mean` is the moving mean of the layer `blocks3_0_dw_conv_bn`: the path
without its last part, with underscores, is the layer's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np

from pplcnet.errors import WeightsError

__all__ = ["load_state_dict", "state_path"]

# Parts of the original's paths that have an underscore of their own.
COMPOUNDS = ("dw_conv", "pw_conv", "last_conv")


class _Place(NamedTuple):
    variable: keras.Variable
    to_keras: Callable[[np.ndarray], np.ndarray]
    """From the original's layout to the variable's."""


def _same(tensor: np.ndarray) -> np.ndarray:
    return tensor


def _conv_kernel(tensor: np.ndarray) -> np.ndarray:
    return tensor.transpose(2, 3, 1, 0)  # O,I,H,W -> H,W,I,O


def _depthwise_kernel(tensor: np.ndarray) -> np.ndarray:
    return tensor.transpose(2, 3, 0, 1)  # C,1,H,W -> H,W,C,1


def load_state_dict(model: keras.Model, tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Set all of the model's variables from the original's tensors.

    Raises:
        WeightsError: tensors missing, left over, of another shape, or not finite; all are named,
            `source` says where they came from, and the model is left as it was.
    """
    places = _places(model)
    faults = [f"missing: {key}" for key in places if key not in tensors]
    faults += [f"left over: {key} {tensors[key].shape}" for key in tensors if key not in places]
    values: list[tuple[keras.Variable, np.ndarray]] = []
    for key in places.keys() & tensors.keys():
        place, tensor = places[key], np.asarray(tensors[key])
        has_layout = tensor.ndim == len(place.variable.shape)
        value = place.to_keras(tensor) if has_layout else tensor
        if tuple(value.shape) != tuple(place.variable.shape):
            wanted = tuple(place.variable.shape)
            faults.append(
                f"wrong shape: {key} is {tensor.shape}, which is {value.shape} in Keras' layout; "
                f"the layer {place.variable.path.split('/')[0]} has {wanted}"
            )
        elif not np.isfinite(value).all():
            faults.append(f"not finite: {key} holds NaN or infinity")
        else:
            values.append((place.variable, value))
    if faults:
        listed = "\n".join(f"  {fault}" for fault in sorted(faults))
        raise WeightsError(f"{source} does not fit {model.name}:\n{listed}")
    for variable, value in values:
        variable.assign(value)


def state_path(layer: str) -> str:
    """The original's path of a layer: "blocks3_0_dw_conv_bn" to "blocks3.0.dw_conv.bn"."""
    path = layer.replace("_", ".")
    for compound in COMPOUNDS:
        path = path.replace(compound.replace("_", "."), compound)
    return path


def _places(model: keras.Model) -> dict[str, _Place]:
    """Every tensor name that the original's state dict has for this model, and its place."""
    places: dict[str, _Place] = {}
    for layer in model.layers:
        path = state_path(layer.name)
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            places[f"{path}.weight"] = _Place(layer.kernel, _depthwise_kernel)
        elif isinstance(layer, keras.layers.Conv2D):
            places[f"{path}.weight"] = _Place(layer.kernel, _conv_kernel)
            if layer.use_bias:
                places[f"{path}.bias"] = _Place(layer.bias, _same)
        elif isinstance(layer, keras.layers.BatchNormalization):
            places[f"{path}.weight"] = _Place(layer.gamma, _same)
            places[f"{path}.bias"] = _Place(layer.beta, _same)
            places[f"{path}._mean"] = _Place(layer.moving_mean, _same)
            places[f"{path}._variance"] = _Place(layer.moving_variance, _same)
        elif isinstance(layer, keras.layers.Dense):
            # Fully connected weights are (in, out) in Paddle as in Keras.
            places[f"{path}.weight"] = _Place(layer.kernel, _same)
            places[f"{path}.bias"] = _Place(layer.bias, _same)
    return places
