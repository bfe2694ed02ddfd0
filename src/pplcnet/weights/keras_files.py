"""Read `.keras` and `.weights.h5`: the arrays with h5py, the configuration as plain JSON.

Keras itself is not asked to load anything: nothing that the configuration names is imported or
built. Keras saves a layer's arrays in groups that are named after the layer's class and carry its
name, so that `layers/conv2d_3/vars/0` is the kernel of the layer in that group's attribute.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pplcnet.errors import WeightsError, require
from pplcnet.weights.limits import check_unpacked, open_archive, read_file, read_member

__all__ = ["KerasFile", "is_keras_file", "read_keras_file"]

CONFIG, ARRAYS = "config.json", "model.weights.h5"
MAX_DEPTH, MAX_LAYERS = 8, 5000
# The order in which Keras' layers save their variables.
_VARIABLES = {
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
}
# Of HDF5's filters those that its library always has: deflate, shuffle, checksum. Others are
# plugins, which are code.
_FILTERS = {1, 2, 3}


class KerasFile(NamedTuple):
    """What a saved model holds."""

    tensors: dict[str, np.ndarray]
    """`layer.variable` to array."""
    config: Any
    """The model's configuration as JSON has it; None where there is none."""


def is_keras_file(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix in (".keras", ".h5")


def read_keras_file(path: Path) -> KerasFile:
    """The arrays and the configuration of `.keras`, the arrays of `.weights.h5`.

    Raises:
        WeightsError: missing, damaged, or more than arrays of plain numbers inside the file.
    """
    content = read_file(path)
    try:
        config = None
        if path.suffix == ".keras":
            with open_archive(content) as archive:
                names = archive.namelist()
                if ARRAYS not in names:
                    raise WeightsError(f"there is no {ARRAYS} in it.")
                config = _json(read_member(archive, CONFIG)) if CONFIG in names else None
                content = read_member(archive, ARRAYS)
        return KerasFile(_read_arrays(content), config)
    except WeightsError as error:
        raise WeightsError(f"{path}: not accepted as a Keras file: {error}") from error
    except Exception as error:  # a damaged archive or HDF5 file can raise nearly anything
        raise WeightsError(
            f"{path}: not a readable Keras file ({type(error).__name__}: {error})."
        ) from error


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None  # the arrays can be read without it; who needs it says so


def _read_arrays(content: bytes) -> dict[str, np.ndarray]:
    h5py = require("h5py", purpose="reading Keras files", extra="train")
    with h5py.File(io.BytesIO(content), "r") as file:
        if "layer_names" in file.attrs or "model_weights" in file:
            raise WeightsError(
                "it is in the older .h5 format; load it with Keras and save it as .keras."
            )
        found: dict[str, Any] = {}
        _collect(h5py, file, found, depth=0)
        if not found:
            raise WeightsError("it has no layers with names; save it with Keras 3.15 or later.")
        check_unpacked(sum(_bytes(each) for each in found.values()), len(content))
        return {name: _array(each) for name, each in found.items()}


def _collect(h5py: Any, group: Any, found: dict[str, Any], depth: int) -> None:
    """The data sets of the group's layers, and of models among its layers."""
    layers = _member(h5py, group, "layers")
    if layers is None or depth > MAX_DEPTH:
        return
    for number, key in enumerate(layers):
        if number >= MAX_LAYERS or len(found) > MAX_LAYERS:
            raise WeightsError("it has more layers than a network has.")
        layer = _member(h5py, layers, key)
        if layer is None:
            continue
        _collect(h5py, layer, found, depth + 1)
        held = _member(h5py, layer, "vars")
        name = held.attrs.get("name") if held is not None else None
        if not isinstance(name, str):
            continue
        kinds = _VARIABLES.get(re.sub(r"_\d+$", "", key), ())
        for at in held:
            data = _member(h5py, held, at)
            index = int(at) if at.isascii() and at.isdigit() and len(at) < 4 else len(kinds)
            full = f"{name}.{kinds[index] if index < len(kinds) else at}"
            if full in found:
                raise WeightsError(f"it has two layers of the name {name!r}.")
            _check_data(h5py, data, full)
            found[full] = data


def _member(h5py: Any, group: Any, key: str) -> Any:
    """What lies in the group itself; links lead to other places and other files."""
    if not isinstance(group, h5py.Group):
        raise WeightsError("it is not laid out as Keras does it.")
    link = group.get(key, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise WeightsError(f"{key!r} is a link to another place.")
    return group[key]


def _check_data(h5py: Any, data: Any, name: str) -> None:
    if not isinstance(data, h5py.Dataset):
        raise WeightsError(f"{name!r} is not an array.")
    if data.is_virtual or data.external:
        raise WeightsError(f"the numbers of {name!r} lie in another file.")
    if data.dtype.kind not in "fiub" or data.dtype.itemsize > 8 or data.shape is None:
        raise WeightsError(f"{name!r} holds {data.dtype}, not plain numbers.")
    how = data.id.get_create_plist()
    if any(how.get_filter(at)[0] not in _FILTERS for at in range(how.get_nfilters())):
        raise WeightsError(f"{name!r} is packed in another way than by deflate.")
    check_unpacked(_bytes(data), data.id.get_storage_size())


def _bytes(data: Any) -> int:
    return int(np.prod(data.shape, dtype=object)) * int(data.dtype.itemsize)


def _array(data: Any) -> np.ndarray:
    numbers = np.asarray(data[()])
    if data.attrs.get("dtype") == "bfloat16" and numbers.dtype.itemsize == 2:  # Keras' own marking
        return (numbers.view("<u2").astype("<u4") << 16).view("<f4")
    return numbers
