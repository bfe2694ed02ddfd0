"""pplcnet's own weights format: an `.npz` with an array per `layer.variable`, in Keras' layouts.

It is written and read with numpy alone, holds only arrays (`allow_pickle=False`), and is the same
for every Keras backend.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Mapping
from os import PathLike
from pathlib import Path

import keras
import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.models.variables import value_of
from pplcnet.system.files import write_arrays
from pplcnet.weights.limits import listed, open_archive, read_file, read_member
from pplcnet.weights.mapping import HEAD_LAYERS

__all__ = [
    "check_numbers",
    "get_values",
    "read_npz",
    "set_fitting_values",
    "set_values",
    "write_npz",
]


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
        raise WeightsError(f"{source} does not fit {model.name}:", listed(faults))
    for name, variable in variables.items():
        # Convert precision and byte order: backends only support native ones.
        variable.assign(np.asarray(values[name], np.float32))


def check_numbers(values: Mapping[str, np.ndarray], source: str) -> None:
    """WeightsError naming the arrays that hold NaN or infinity."""
    faults = sorted(name for name, value in values.items() if not np.isfinite(value).all())
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise WeightsError(f"{source}: NaN or infinity in {', '.join(faults[:5])}{more}.")


def set_fitting_values(
    model: keras.Model,
    values: Mapping[str, np.ndarray],
    source: str,
    own_layers: Collection[str] = (),
) -> list[str]:
    """Set every weight, except that head layers whose values do not fit keep their own.

    So do `own_layers`; values for the head layers that they replace are ignored. Returns the layers
    that kept their values; raises WeightsError like `set_values`.
    """
    variables = _variables(model)
    if own_layers:
        replaced = HEAD_LAYERS - {layer.name for layer in model.layers}
        values = {
            name: value for name, value in values.items() if name.partition(".")[0] not in replaced
        }
    fresh = {
        name.partition(".")[0]
        for name, variable in variables.items()
        if name.partition(".")[0] in HEAD_LAYERS
        and (name not in values or tuple(values[name].shape) != tuple(variable.shape))
    }.union(own_layers)
    kept = {
        name: value_of(variable)
        for name, variable in variables.items()
        if name.partition(".")[0] in fresh
    }
    set_values(model, {**values, **kept}, source)
    return sorted(fresh)


def write_npz(model: keras.Model, path: str | PathLike[str]) -> None:
    """Write every weight of the model to an `.npz` file; StorageError when that fails."""
    write_arrays(path, get_values(model))


def read_npz(path: str | PathLike[str] | bytes, source: str = "") -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file; WeightsError when it is missing, damaged or holds objects.

    Declared sizes and array headers are checked against the actual bytes before anything is
    allocated, so a small file cannot claim much memory.

    Args:
        path: the file, or its content.
        source: its name in messages. Default: the path.
    """
    content = path if isinstance(path, bytes) else read_file(Path(path))
    source = source or str(path)
    try:
        with open_archive(content) as archive:
            return {
                name.removesuffix(".npy"): _array(read_member(archive, name))
                for name in archive.namelist()
            }
    except Exception as error:  # a damaged archive or header can raise nearly anything
        raise WeightsError(f"{source}: not a readable .npz weights file ({error}).") from error


def _array(content: bytes) -> np.ndarray:
    """A member of the archive in numpy's own format."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        header = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        header = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"an array of format version {version}")
    shape, is_fortran, dtype = header
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise ValueError(f"an array of type {dtype}; only plain numbers are allowed")
    start = stream.tell()
    size = len(content) - start
    if math.prod(shape) * dtype.itemsize != size or any(side < 0 for side in shape):
        raise ValueError(f"an array of shape {shape} has {size} bytes")
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(shape, order="F" if is_fortran else "C")
