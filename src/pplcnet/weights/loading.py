"""Weights files into models: choose the reader by the file's ending, then map by name."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import keras

from pplcnet.errors import WeightsError
from pplcnet.weights import mapping, native, paddle

__all__ = ["load_into"]


def load_into(model: keras.Model, path: str | PathLike[str]) -> None:
    """Load a `.pdparams` or `.npz` file into the model; every tensor has to fit.

    An `.npz` may hold pplcnet's own names or the original's state-dict names.

    Raises:
        WeightsError: the file cannot be read or does not fit; the model is left as it was.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file.")
    if path.suffix == ".pdparams":
        mapping.load_state_dict(model, paddle.read_pdparams(path), source=str(path))
    elif path.suffix == ".npz":
        tensors = native.read_npz(path)
        if any(name.startswith("fc.weight") for name in tensors):
            mapping.load_state_dict(model, tensors, source=str(path))
        else:
            native.set_values(model, tensors, source=str(path))
    else:
        raise WeightsError(f"{path}: weights are read from .pdparams and .npz files.")
