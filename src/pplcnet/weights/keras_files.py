"""Reads `.keras` and `.weights.h5`: the arrays (`hdf5.py`), and the configuration as plain JSON.

Keras itself loads nothing: nothing that the configuration names is imported or built. Keras saves a
layer's arrays in a group that is named after the layer's class and has the layer's name as an
attribute: `layers/conv2d_3/vars/0` is the kernel of the layer named in that group's attribute.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.weights.hdf5 import Array, Group, open_hdf5
from pplcnet.weights.limits import check_unpacked, open_archive, read_file, read_member

__all__ = ["KerasFile", "is_keras_file", "read_keras_file"]

CONFIG, ARRAYS = "config.json", "model.weights.h5"
MAX_DEPTH, MAX_ARRAYS = 8, 20_000
# The order in which Keras' layers save their variables.
_VARIABLES = {
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
}


class KerasFile(NamedTuple):
    """The content of a saved model."""

    tensors: dict[str, np.ndarray]
    """Arrays by `layer.variable`."""
    config: Any
    """The model's configuration as parsed JSON; None if there is none."""


def is_keras_file(path: Path) -> bool:
    """Whether the file has one of Keras' extensions."""
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
        return None  # the arrays are readable without it


def _read_arrays(content: bytes) -> dict[str, np.ndarray]:
    root = open_hdf5(content)
    if "model_weights" in root.names():
        raise WeightsError(
            "it is in the older .h5 format; load it with Keras and save it as .keras."
        )
    found: dict[str, Array] = {}
    _collect(root, found, depth=0)
    if not found:
        raise WeightsError("it has no layers with names; save it with Keras 3.15 or later.")
    tensors = {name: _numbers(array) for name, array in found.items()}
    # Several arrays may share the same bytes of the file.
    check_unpacked(sum(each.nbytes for each in tensors.values()), len(content))
    return tensors


def _collect(group: Group, found: dict[str, Array], depth: int) -> None:
    """Collect the arrays of the group's layers, and of models among them, into `found`."""
    address = group.names().get("layers")
    if address is None:
        return
    if depth > MAX_DEPTH:
        raise WeightsError("it nests models too deeply.")
    for key, place in group.group(address).names().items():
        layer = group.group(place)
        _collect(layer, found, depth + 1)
        found_at = layer.names().get("vars")
        variables = group.group(found_at) if found_at is not None else None
        name = variables.attributes.get("name") if variables is not None else None
        if variables is None or name is None:
            continue
        kinds = _VARIABLES.get(re.sub(r"_\d+$", "", key), ())
        for number, at in variables.names().items():
            is_index = number.isascii() and number.isdigit() and len(number) < 4
            index = int(number) if is_index else len(kinds)
            full = f"{name}.{kinds[index] if index < len(kinds) else number}"
            if full in found or len(found) > MAX_ARRAYS:
                raise WeightsError(f"it has too many arrays, or two of the name {full[:80]!r}.")
            found[full] = variables.array(at)


def _numbers(array: Array) -> np.ndarray:
    numbers = array.read()
    # Keras marks bfloat16 by an attribute.
    if array.attributes.get("dtype") == "bfloat16" and numbers.dtype.itemsize == 2:
        return (numbers.view("<u2").astype("<u4") << 16).view("<f4")
    return numbers
