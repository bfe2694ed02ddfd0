"""Chooses and reads the network of a bundle that runs here."""

from __future__ import annotations

import os
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pplcnet.bundle.bundle import Bundle, read_consistently
from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import BundleError, InputError
from pplcnet.runtime.lone_network import open_network
from pplcnet.runtime.selection import Choice, Selection, choose
from pplcnet.runtime.typicality import Typicality, read_typicality
from pplcnet.tasks import outputs_of, task_of
from pplcnet.tasks.task import Outputs

__all__ = [
    "Network",
    "check_finite",
    "read_network",
    "read_scaled",
    "scaled_file",
    "scaled_manifest",
]


class Network(NamedTuple):
    """A network's file, and how to run it."""

    manifest: Manifest
    selection: Selection
    content: bytes
    typicality: Typicality | None
    """The bundle's record of typical images."""


def read_network(
    bundle: str | PathLike[str], engine: str | None = None, precision: str | None = None
) -> Network:
    """Read the network from a bundle folder or .zip, a run's folder, or a single .onnx file.

    Args:
        engine: as in `selection.choose`.
        precision: likewise.

    Raises:
        BundleError, InputError: as `Model`.
    """

    def select(opened: Bundle) -> Network:
        selection = choose(opened, engine=engine, precision=precision)
        content = opened.read(str(opened.variant(selection.choice.variant)["file"]))
        return Network(opened.manifest, selection, content, read_typicality(opened))

    if Path(bundle).suffix.lower() == ".onnx" and not os.path.isdir(bundle):
        alone = open_network(Path(bundle))
        precision = precision or alone.precision
        network = select(alone)
        network = network._replace(selection=network.selection._replace(advice=alone.caveat))
    else:
        network = read_consistently(bundle, select)
    _check_task(network.manifest, bundle)
    return network


def scaled_file(scale: float) -> str:
    """The name of the network's file for an input with sides multiplied by `scale`."""
    return f"model.x{scale:g}.onnx"


def scaled_manifest(manifest: Manifest, scale: float) -> Manifest:
    """The manifest for a network whose input has its sides multiplied by `scale`.

    Raises:
        InputError: a side is below 1 or above 4096 pixels.
    """
    height, width = (int(side * scale + 0.5) for side in manifest.preprocessing.image_size)
    preprocessing = replace(manifest.preprocessing, image_size=(height, width))
    scaled = replace(manifest, preprocessing=preprocessing)
    return replace(scaled, outputs=outputs_of(scaled))


def read_scaled(
    bundle: str | PathLike[str], manifest: Manifest, scale: float
) -> tuple[Manifest, bytes]:
    """The manifest and content of an opened bundle's network for a scaled input.

    Raises:
        InputError: the bundle has no network for this scale.
        BundleError: the network is damaged.
    """
    scaled = scaled_manifest(manifest, scale)
    if scaled_file(scale) not in manifest.files:
        raise InputError(
            f"{bundle}: has no network for the scale {scale:g}; "
            f"'pplcnet export {bundle} --scales {scale:g}' adds it."
        )
    return scaled, read_consistently(bundle, lambda opened: opened.read(scaled_file(scale)))


def check_finite(outputs: Outputs, source: str, choice: Choice) -> None:
    """Raise BundleError if an output for one image is NaN or infinite.

    Args:
        source: the image's name in the message.
        choice: how the network ran.
    """
    if not all(np.isfinite(each).all() for each in outputs.values()):
        raise BundleError(
            f"the network's output for {source} is NaN or infinite in {choice}; its weights are "
            "damaged."
        )


def _check_task(manifest: Manifest, bundle: str | PathLike[str]) -> None:
    """Raise BundleError unless the task is known and the network has its outputs."""
    task = task_of(manifest, bundle)
    needed = outputs_of(manifest)
    if needed.items() - manifest.outputs.items():
        raise BundleError(
            f"{bundle}: its outputs are {dict(manifest.outputs)}; the task {task.name!r} needs "
            f"{dict(needed)}."
        )
