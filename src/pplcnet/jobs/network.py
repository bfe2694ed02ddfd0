"""The network of a job: the same on every worker, or the job stops."""

from __future__ import annotations

import json
from hashlib import sha256
from os import PathLike
from typing import NamedTuple

from pplcnet.runtime.network import read_network
from pplcnet.runtime.selection import Choice
from pplcnet.tasks import find

__all__ = ["JobNetwork", "look_at_network"]


class JobNetwork(NamedTuple):
    """What a job has to know of its bundle."""

    digest: str
    """sha256 of everything that answers depend on."""
    name: str
    task: str
    choice: Choice
    columns: tuple[str, ...]
    """Of the task's rows."""
    knows_typical: bool
    file_ending: str
    """Of the file that a prediction can be written to; "" where there is none."""
    advice: str


def look_at_network(
    bundle: str | PathLike[str], engine: str | None = None, precision: str | None = None
) -> JobNetwork:
    """Read a bundle and choose how it runs.

    Args:
        bundle: as `pplcnet.load` takes it.
        engine: None for what tuning chose on this processor.
        precision: likewise.

    Raises:
        BundleError, InputError: as `pplcnet.load`.
    """
    network = read_network(bundle, engine, precision)
    manifest, typicality = network.manifest, network.typicality
    made_of = {
        "network": sha256(network.content).hexdigest(),
        "task": manifest.task,
        "classes": list(manifest.classes),
        "decoding": manifest.decoding,
        "preprocessing": manifest.preprocessing.to_dict(),
        "typicality": None if typicality is None else sha256(typicality.content()).hexdigest(),
    }
    return JobNetwork(
        digest=sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest(),
        name=str(manifest.network.get("name", "")),
        task=manifest.task,
        choice=network.selection.choice,
        columns=tuple(find(manifest.task).prediction.columns),
        file_ending=find(manifest.task).prediction.file_ending,
        knows_typical=typicality is not None,
        advice=network.selection.advice,
    )
