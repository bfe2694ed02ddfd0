"""Weights files to models: read, then map by name, every tensor to exactly one variable."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import keras

from pplcnet.errors import WeightsError
from pplcnet.weights import folded, mapping, native
from pplcnet.weights.files import WeightsFile, read_weights
from pplcnet.weights.options import check_strides

__all__ = ["fill", "load_into", "load_pretrained"]


def load_into(model: keras.Model, path: str | PathLike[str]) -> None:
    """Load a weights file into the model; every tensor has to fit.

    Raises:
        WeightsError: the file cannot be read or does not fit; the model is left as it was.
    """
    path = Path(path)
    if path.suffix == ".keras":
        _load_keras_file(model, path)
    else:
        fill(model, read_weights(path), source=str(path))


def load_pretrained(
    model: keras.Model, path: str | PathLike[str], weights: WeightsFile | None = None
) -> list[str]:
    """Load what a weights file holds to train on from there; a line for each thing worth saying.

    `weights` is what `read_weights` read from there, if it has been.

    The trunk has to fit as a whole. A classifier (or the wide layer before it) that is missing or
    made for other classes stays fresh. Weights whose BatchNorm is folded into the convolutions are
    accepted; `folded.unfold` has to be called on training images afterwards.

    Raises:
        WeightsError: the file cannot be read, or its trunk does not fit; the model is as it was.
    """
    path = Path(path)
    if path.suffix == ".keras":
        _load_keras_file(model, path)
        fresh = []
    else:
        fresh = fill(model, weights or read_weights(path), source=str(path), fresh_head=True)
    if not fresh:
        return [f"every layer starts from {path}"]
    return [f"starts from {path}; fresh, because the file has nothing fitting: {', '.join(fresh)}"]


def fill(
    model: keras.Model, weights: WeightsFile, source: str, *, fresh_head: bool = False
) -> list[str]:
    """Set the model's variables from what was read; the layers that kept their values."""
    if weights.network is not None and weights.network != model.name:
        raise WeightsError(f"{source}: is of {weights.network}, not of {model.name}.")
    check_strides(model, weights.options, source)
    if weights.kind == "native":
        native.check_numbers(weights.tensors, source)
        if fresh_head:
            return native.set_fitting_values(model, weights.tensors, source)
        native.set_values(model, weights.tensors, source)
        return []
    tensors = weights.tensors
    if weights.kind == "folded":
        tensors = folded.with_neutral_norms(model, tensors)
    return mapping.load_state_dict(model, tensors, source, fresh_head=fresh_head)


def _load_keras_file(model: keras.Model, path: Path) -> None:
    """Only the arrays of a `.keras` file: its configuration, which can hold code, is not read."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file.")
    before = native.get_values(model)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises nearly anything for a file that does not fit
        native.set_values(model, before, source="the values before")
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "damaged"
        raise WeightsError(f"{path}: does not fit {model.name} ({reason}).") from error
