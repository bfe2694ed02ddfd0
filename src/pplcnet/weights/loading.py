"""Weights files to models: read, then map by name, every tensor to exactly one variable."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import keras

from pplcnet.errors import WeightsError
from pplcnet.weights import folded, mapping, native
from pplcnet.weights.files import WeightsFile, read_weights
from pplcnet.weights.options import check_strides, network_options

__all__ = ["LoadedWeights", "fill", "load_into", "load_pretrained", "read_for"]


OPTIONS = {
    "deploy", "dropout", "image_size", "last_conv", "last_conv_bias", "num_classes", "strides",
}  # fmt: skip


class LoadedWeights(NamedTuple):
    """A weights file, read once."""

    path: Path
    weights: WeightsFile
    options: dict[str, Any]
    """What `build_model` needs to build its network, as far as the file says."""


def read_for(name: str, path: Path) -> LoadedWeights:
    """What a file holds for the network `name`.

    Raises:
        WeightsError: the file cannot be read, or is of another network.
    """
    weights = read_weights(path)
    _check_network(name, weights, str(path))
    options = network_options(name, weights)
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise WeightsError(
            f"{path}: its network was made with {', '.join(unknown)}, which this version of "
            "pplcnet does not know."
        )
    return LoadedWeights(path, weights, options)


def load_into(
    model: keras.Model, path: str | PathLike[str], weights: WeightsFile | None = None
) -> None:
    """Load a weights file into the model; every tensor has to fit.

    `weights` is what `read_weights` read from there, if it has been.

    Raises:
        WeightsError: the file cannot be read or does not fit; the model is left as it was.
    """
    fill(model, weights or read_weights(path), source=str(path))


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
    fresh = fill(model, weights or read_weights(path), source=str(path), fresh_head=True)
    if not fresh:
        return [f"every layer starts from {path}"]
    return [f"starts from {path}; fresh, because the file has nothing fitting: {', '.join(fresh)}"]


def fill(
    model: keras.Model, weights: WeightsFile, source: str, *, fresh_head: bool = False
) -> list[str]:
    """Set the model's variables from what was read; the layers that kept their values."""
    _check_network(model.name, weights, source)
    if weights.network is not None:  # bare tensors say nothing of strides
        check_strides(model, network_options(weights.network, weights), source)
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


def _check_network(name: str, weights: WeightsFile, source: str) -> None:
    if weights.network is not None and weights.network != name:
        raise WeightsError(f"{source}: is of {weights.network}, not of {name}.")
