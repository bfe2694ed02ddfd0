"""Maps the original's state dict to a Keras model: every tensor to exactly one variable.

`blocks3.0.dw_conv.bn._mean` is the moving mean of the layer `blocks3_0_dw_conv_bn`: the path
without its last part, with underscores, is the layer's name. So the tensor's name determines the
variable, and no table of layers is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import keras
import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.models.blocks import layer_name
from pplcnet.weights.limits import listed

__all__ = ["HEAD_LAYERS", "load_state_dict"]

# The classifier and the wide layer before it, in every family, and the class layers of detectors
# and segmentation networks: they may start from random values.
HEAD_LAYERS = frozenset(
    {"fc", "last_conv", "out", "fc_0_conv", "fc_0_batch_norm", "fc_1"}
    | {f"head_head_cls{level}" for level in range(4)}
    | {"head_0_logits"}
)


class _Place(NamedTuple):
    variable: keras.Variable
    to_keras: Callable[[np.ndarray], np.ndarray]
    """Converts the original's layout to the variable's."""


def _same(tensor: np.ndarray) -> np.ndarray:
    return tensor


def _conv_kernel(tensor: np.ndarray) -> np.ndarray:
    if tensor.ndim == 2:
        return tensor[np.newaxis, np.newaxis]  # a fully connected layer, I,O -> 1,1,I,O
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor  # O,I,H,W -> H,W,I,O


def _depthwise_kernel(tensor: np.ndarray) -> np.ndarray:
    return tensor.transpose(2, 3, 0, 1) if tensor.ndim == 4 else tensor  # C,1,H,W -> H,W,C,1


def load_state_dict(
    model: keras.Model,
    tensors: Mapping[str, np.ndarray],
    source: str,
    *,
    fresh_head: bool = False,
    own_layers: Collection[str] = (),
) -> list[str]:
    """Set the model's variables from the original's tensors.

    Args:
        source: where the tensors come from, for messages.
        fresh_head: whether layers of `HEAD_LAYERS` keep their values if their tensors are missing
            or have other shapes; otherwise that is an error, as for all other layers.
        own_layers: layers that keep their values; tensors for the head layers that they replace
            are ignored.

    Returns:
        The layers that kept their values.

    Raises:
        WeightsError: tensors missing, left over, of another shape, or not finite; all are named,
            `source` says where they came from, and the model is left as it was.
    """
    tensors = _without_merged_branches(model, tensors)
    if own_layers:
        replaced = HEAD_LAYERS - {layer.name for layer in model.layers}
        tensors = {
            key: tensor
            for key, tensor in tensors.items()
            if layer_name(key.rpartition(".")[0]) not in replaced
        }
    places = {at: place for at, place in _places(model).items() if at[0] not in own_layers}
    paths = _paths(tensors)
    keys = {place: f"{paths.get(place[0], place[0])}.{place[1]}" for place in places}
    known = set(keys.values())
    fresh = _layers_without_tensors(places, keys, tensors) if fresh_head else set()
    keys = {place: key for place, key in keys.items() if place[0] not in fresh}
    faults = [f"missing: {key}" for key in keys.values() if key not in tensors]
    faults += [f"left over: {key} {tensors[key].shape}" for key in tensors if key not in known]
    values: list[tuple[keras.Variable, np.ndarray]] = []
    for at, key in keys.items():
        if key not in tensors:
            continue
        place, tensor = places[at], np.asarray(tensors[key])
        value = place.to_keras(tensor)
        if tuple(value.shape) != tuple(place.variable.shape):
            wanted = tuple(place.variable.shape)
            faults.append(
                f"wrong shape: {key} is {tensor.shape}, which is {value.shape} in Keras' layout; "
                f"the layer {place.variable.path.split('/')[0]} has {wanted}"
            )
        elif value.dtype.kind not in "fiub":
            faults.append(f"wrong type: {key} holds {value.dtype}, not plain numbers")
        elif not np.isfinite(value).all():
            faults.append(f"not finite: {key} holds NaN or infinity")
        else:
            values.append((place.variable, value))
    if faults:
        raise WeightsError(f"{source} does not fit {model.name}:", listed(sorted(faults)))
    for variable, value in values:
        variable.assign(np.asarray(value, np.float32))
    return sorted(fresh.union(own_layers))


def _layers_without_tensors(
    places: Mapping[tuple[str, str], _Place],
    keys: Mapping[tuple[str, str], str],
    tensors: Mapping[str, np.ndarray],
) -> set[str]:
    """Head layers for which a tensor is missing or has another shape."""
    fresh = set()
    for at, place in places.items():
        tensor = tensors.get(keys[at])
        fits = tensor is not None and (place.to_keras(tensor).shape == tuple(place.variable.shape))
        if at[0] in HEAD_LAYERS and not fits:
            fresh.add(at[0])
    # On top of a randomly initialised layer, a trained classifier is useless.
    return fresh | ({"fc"} if "last_conv" in fresh else set())


def _paths(tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The state-dict path of every layer, by the layer's name."""
    prefixes = dict.fromkeys(key.rpartition(".")[0] for key in tensors)
    return {layer_name(prefix): prefix for prefix in prefixes}


def _without_merged_branches(
    model: keras.Model, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The tensors without the merged convolutions that PP-LCNetV2's state dict has as well.

    The training form uses the branches; the merged convolutions may be out of date in the file.
    """
    names = {layer.name for layer in model.layers}
    return {
        key: tensor
        for key, tensor in tensors.items()
        if not (
            f"{key.rpartition('.')[0]}_list.0.conv.weight" in tensors
            and layer_name(key.rpartition(".")[0]) not in names
        )
    }


def _places(model: keras.Model) -> dict[tuple[str, str], _Place]:
    """All of the model's variables by (layer name, last part of the tensor's name)."""
    places: dict[tuple[str, str], _Place] = {}
    for layer in model.layers:
        name = layer.name
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            places[name, "weight"] = _Place(layer.kernel, _depthwise_kernel)
        elif isinstance(layer, keras.layers.Conv2D):
            places[name, "weight"] = _Place(layer.kernel, _conv_kernel)
        elif isinstance(layer, keras.layers.BatchNormalization):
            places[name, "weight"] = _Place(layer.gamma, _same)
            places[name, "bias"] = _Place(layer.beta, _same)
            places[name, "_mean"] = _Place(layer.moving_mean, _same)
            places[name, "_variance"] = _Place(layer.moving_variance, _same)
        elif isinstance(layer, keras.layers.Dense):
            # Fully connected weights are (in, out) in Paddle as in Keras.
            places[name, "weight"] = _Place(layer.kernel, _same)
        if getattr(layer, "use_bias", False):
            places[name, "bias"] = _Place(layer.bias, _same)
    return places
