"""Loads weights files into models: every tensor is mapped by name to exactly one variable."""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import keras

from pplcnet.errors import WeightsError
from pplcnet.models import catalog
from pplcnet.models.blocks import layer_name
from pplcnet.models.build import build_model
from pplcnet.system.wording import listed
from pplcnet.weights import folded, mapping, native
from pplcnet.weights.files import WeightsFile, read_weights
from pplcnet.weights.mapping import HEAD_LAYERS
from pplcnet.weights.options import check_strides, network_options

__all__ = [
    "LoadedWeights",
    "fill",
    "layers_of_task",
    "load_into",
    "load_pretrained",
    "read_for",
]

NAMED_LAYERS = 4
OPTIONS = {
    "deploy", "dropout", "image_size", "last_conv", "last_conv_bias", "num_classes", "strides",
}  # fmt: skip


class LoadedWeights(NamedTuple):
    """A weights file that was read for a given network."""

    path: Path
    weights: WeightsFile
    options: dict[str, Any]
    """Options of `build_model` for its network, as far as the file states them."""


def read_for(name: str, path: Path) -> LoadedWeights:
    """Read a weights file for the network `name`.

    Raises:
        WeightsError: the file cannot be read, or is for another network.
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
    """Load a weights file into the model; every tensor must fit.

    `weights` is what `read_weights(path)` returned, if the file has been read already.

    Raises:
        WeightsError: the file cannot be read or does not fit; the model is unchanged.
    """
    fill(model, weights or read_weights(path), source=str(path))


def load_pretrained(
    model: keras.Model,
    path: str | PathLike[str],
    weights: WeightsFile | None = None,
    *,
    own_layers: Collection[str] = (),
) -> list[str]:
    """Load pretrained weights as a start for training; returns lines describing what was done.

    Args:
        weights: what `read_weights(path)` returned, if the file has been read already.
        own_layers: names of layers that the catalog's network does not have, such as another head.
            They keep their random values, and the file's values for the head they replace are
            ignored.

    The whole backbone must fit. A classifier (or the wide layer before it) that is missing from the
    file or made for other classes keeps its random values. Weights whose BatchNorm is folded into
    the convolutions are accepted; call `folded.unfold` on training images afterwards.

    Raises:
        WeightsError: the file cannot be read, or its backbone does not fit; the model is unchanged.
    """
    fresh = fill(
        model,
        weights or read_weights(path),
        source=str(path),
        fresh_head=True,
        own_layers=own_layers,
    )
    if not fresh:
        return [f"every layer starts from {path}"]
    named = listed(fresh, NAMED_LAYERS)
    return [f"starts from {path}; random, because the file has no matching weights: {named}"]


def layers_of_task(model: keras.Model, weights: WeightsFile) -> list[str]:
    """Layers of a task's network outside its backbone, which the weights do not have.

    Empty if the weights are for the whole network, or it is a classifier of the catalog.
    """
    if catalog.only_task(model.name) is None and model.layers[-1].name in HEAD_LAYERS:
        return []  # the catalog's classifier; building it again would draw random numbers
    known = {layer.name for layer in build_model(catalog.backbone_of(model.name).name).layers}
    own = [layer.name for layer in model.layers if layer.weights and layer.name not in known]
    held = {layer_name(name.rpartition(".")[0]) for name in weights.tensors}
    return [] if held.intersection(own) else own


def fill(
    model: keras.Model,
    weights: WeightsFile,
    source: str,
    *,
    fresh_head: bool = False,
    own_layers: Collection[str] = (),
) -> list[str]:
    """Set the model's variables from a parsed file; returns the layers that kept their values."""
    _check_network(model.name, weights, source)
    if weights.network is not None:  # bare tensors do not state strides
        check_strides(model, network_options(weights.network, weights), source)
    if weights.kind == "native":
        native.check_numbers(weights.tensors, source)
        if fresh_head:
            return native.set_fitting_values(model, weights.tensors, source, own_layers)
        native.set_values(model, weights.tensors, source)
        return []
    tensors = weights.tensors
    if weights.kind == "folded":
        tensors = folded.with_neutral_norms(model, tensors)
    return mapping.load_state_dict(
        model, tensors, source, fresh_head=fresh_head, own_layers=own_layers
    )


def _check_network(name: str, weights: WeightsFile, source: str) -> None:
    held = weights.network
    # A detector may start from the classifier with its backbone.
    if held in (None, catalog.backbone_of(name).name):
        return
    if not catalog.is_same(held, name):
        raise WeightsError(f"{source}: holds weights of {weights.network}, not of {name}.")
