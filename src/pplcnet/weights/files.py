"""Reads weights files of any kind: the extension chooses the reader, the tensors tell the form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import MANIFEST
from pplcnet.errors import BundleError, WeightsError
from pplcnet.weights import folded, native, paddle, segmentation_names, torch_names
from pplcnet.weights.backbones import take_about
from pplcnet.weights.detection_names import is_detector, to_layer_names
from pplcnet.weights.detector_graphs import read_detector_graph
from pplcnet.weights.keras_configs import SavedModel, saved_model
from pplcnet.weights.keras_files import is_keras_file, read_keras_file
from pplcnet.weights.paddle_inference import read_inference_model
from pplcnet.weights.safetensors_files import read_safetensors
from pplcnet.weights.segmentation_names import is_segmenter

__all__ = ["WeightsFile", "read_weights"]

PROGRAMS = ("inference.json", "inference.pdmodel")
KINDS = (
    ".pdparams, .npz, .safetensors, .keras, .weights.h5, a bundle, a Paddle inference model, or "
    "the .onnx of a PicoDet"
)


class WeightsFile(NamedTuple):
    """The content of a weights file."""

    kind: Literal["original", "folded", "timm", "native"]
    """Whose names the tensors have; "original" includes names translated to the original's."""
    tensors: dict[str, np.ndarray]
    network: str | None = None
    """The catalog's name, if the file states it."""
    options: Mapping[str, Any] | None = None
    """The options of `build_model`, if the file states them."""
    beside: Path | None = None
    """The folder of an inference model, which may have an `inference.yml`."""
    saved: SavedModel | None = None
    """The network of a `.keras` file, as its configuration describes it."""


def read_weights(path: str | PathLike[str]) -> WeightsFile:
    """Read a weights file of any supported kind; nothing in it is executed.

    Raises:
        WeightsError: missing, of an unknown kind, damaged, or holding more than data.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsError(f"{path}: no such weights file.")
    if path.is_dir():
        return _read_folder(path)
    if path.suffix in (".json", ".pdmodel", ".pdiparams"):
        return _read_program(path)
    if path.suffix == ".zip":
        return _read_bundle(path)
    if path.suffix == ".pdparams":
        return _by_names(paddle.read_pdparams(path))
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".safetensors":
        return _by_names(read_safetensors(path))
    if path.suffix == ".onnx":
        graph = read_detector_graph(path)
        return WeightsFile("folded", graph.tensors, graph.name, graph.options)
    if is_keras_file(path):
        return _read_keras(path)
    raise WeightsError(f"{path}: weights are read from {KINDS}.")


def _read_npz(path: Path) -> WeightsFile:
    tensors = native.read_npz(path)
    about = take_about(tensors, str(path))
    return _by_names(tensors)._replace(network=about.get("network"))


def _read_keras(path: Path) -> WeightsFile:
    file = read_keras_file(path)
    try:
        saved = saved_model(file.config)
    except WeightsError as error:
        raise WeightsError(f"{path}: not accepted as a Keras file: {error}") from error
    network = saved.network if saved is not None else None
    return WeightsFile("native", file.tensors, network, saved=saved)


def _by_names(tensors: dict[str, np.ndarray]) -> WeightsFile:
    if any(name.endswith((".kernel", ".gamma")) for name in tensors):
        return WeightsFile("native", tensors)
    if torch_names.is_timm(tensors):
        return WeightsFile("timm", torch_names.to_original_names(tensors))
    if torch_names.is_transformers(tensors):
        return WeightsFile("original", torch_names.to_original_names(tensors))
    if is_segmenter(tensors):
        tensors = segmentation_names.to_layer_names(tensors)
    elif is_detector(tensors):
        tensors = to_layer_names(tensors)
    # PP-LCNetV2's first release called its stages stage1 to stage4.
    tensors = {
        re.sub(r"^stage([1-4])\.", lambda found: f"stages.{int(found[1]) - 1}.", name): tensor
        for name, tensor in tensors.items()
    }
    return WeightsFile("folded" if folded.is_folded(tensors) else "original", tensors)


def _read_folder(path: Path) -> WeightsFile:
    for name in PROGRAMS:
        if (path / name).is_file():
            return _read_program(path / name)
    if (path / MANIFEST).is_file():
        return _read_bundle(path)
    raise WeightsError(f"{path}: a folder without {MANIFEST} (a bundle), {' or '.join(PROGRAMS)}.")


def _read_program(path: Path) -> WeightsFile:
    if path.suffix == ".pdiparams":
        programs = [path.with_suffix(each) for each in (".json", ".pdmodel")]
        path = next((each for each in programs if each.is_file()), programs[0])
    model = read_inference_model(path)
    return WeightsFile("original", model.tensors, model.name, model.options, path.parent)


def _read_bundle(path: Path) -> WeightsFile:
    try:
        bundle = Bundle.open(path)
        file = str(bundle.variant("keras")["file"])
        content = bundle.read(file)
    except BundleError as error:
        raise WeightsError(str(error)) from error
    network = bundle.manifest.network
    name, options = network.get("name"), network.get("options", {})
    if not isinstance(name, str) or not isinstance(options, dict):
        raise WeightsError(f"{path}: its manifest does not say which network it holds.")
    return WeightsFile(
        "native",
        native.read_npz(content, source=f"{path}/{file}"),
        name,
        options
        | {
            "num_classes": len(bundle.classes),
            "image_size": bundle.manifest.preprocessing.image_size,
        },
    )
