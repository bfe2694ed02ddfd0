"""pplcnet's own weights file: an `.npz` of `layer.variable` to array, in Keras' layouts.

It is written and read with numpy alone, holds arrays and nothing else (`allow_pickle=False`), and
is the same for every Keras backend.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from os import PathLike
from typing import BinaryIO

import keras
import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.models.variables import value_of

__all__ = ["get_values", "read_npz", "set_values", "write_npz"]


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    return {
        f"{layer.name}.{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def get_values(model: keras.Model) -> dict[str, np.ndarray]:
    """A copy of every weight and moving statistic, by `layer.variable`."""
    return {name: value_of(variable) for name, variable in _variables(model).items()}


def set_values(model: keras.Model, values: Mapping[str, np.ndarray], source: str) -> None:
    """Set every weight; WeightsError names what is missing, left over or of another shape."""
    variables = _variables(model)
    faults = [f"missing: {name}" for name in variables if name not in values]
    faults += [f"left over: {name}" for name in values if name not in variables]
    faults += [
        f"wrong shape: {name} is {values[name].shape}, the model has {tuple(variable.shape)}"
        for name, variable in variables.items()
        if name in values and tuple(values[name].shape) != tuple(variable.shape)
    ]
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise WeightsError(f"{source} does not fit {model.name}:\n{listed}")
    for name, variable in variables.items():
        variable.assign(values[name])


def write_npz(model: keras.Model, path: str | PathLike[str]) -> None:
    """Write every weight of the model to an `.npz` file."""
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, **get_values(model))


def read_npz(path: str | PathLike[str] | BinaryIO) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file; WeightsError when it is missing, damaged or holds objects."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not a readable .npz weights file ({error}).") from error
