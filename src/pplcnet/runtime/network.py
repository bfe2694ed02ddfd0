"""The one network of a bundle that is to run here."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pplcnet.bundle.bundle import Bundle, read_consistently
from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import BundleError
from pplcnet.runtime.lone_network import open_network
from pplcnet.runtime.selection import Choice, Selection, choose
from pplcnet.runtime.typicality import Typicality, read_typicality
from pplcnet.tasks import outputs_of, task_of
from pplcnet.tasks.task import Outputs

__all__ = ["Network", "check_finite", "read_network"]


class Network(NamedTuple):
    """A network's file, and how it is run."""

    manifest: Manifest
    selection: Selection
    content: bytes
    typicality: Typicality | None
    """What the bundle says of typical images."""


def read_network(
    bundle: str | PathLike[str], engine: str | None = None, precision: str | None = None
) -> Network:
    """Read from a bundle folder or .zip, the folder of a run, or an exported .onnx file alone.

    Args:
        engine: as for `selection.choose`.
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


def check_finite(outputs: Outputs, source: str, choice: Choice) -> None:
    """BundleError for an output of one image that is NaN or infinite.

    Args:
        source: what the message calls the image.
        choice: how the network ran.
    """
    if not all(np.isfinite(each).all() for each in outputs.values()):
        raise BundleError(
            f"the network's output for {source} is NaN or infinite in {choice}; its weights are "
            "damaged."
        )


def _check_task(manifest: Manifest, bundle: str | PathLike[str]) -> None:
    """BundleError unless the task is known and the network has its outputs."""
    task = task_of(manifest, bundle)
    needed = outputs_of(manifest)
    if needed.items() - manifest.outputs.items():
        raise BundleError(
            f"{bundle}: its outputs are {dict(manifest.outputs)}; the task {task.name!r} needs "
            f"{dict(needed)}."
        )
