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
    """What a job needs to know about its bundle."""

    digest: str
    """sha256 of everything the answers depend on."""
    name: str
    task: str
    choice: Choice
    columns: tuple[str, ...]
    """Columns of the task's rows."""
    knows_typical: bool
    file_ending: str
    """Extension of the file that a prediction can be written to; "" if the task has none."""
    advice: str


def look_at_network(
    bundle: str | PathLike[str], engine: str | None = None, precision: str | None = None
) -> JobNetwork:
    """Read a bundle and choose how to run it.

    Args:
        bundle: as `pplcnet.load` takes it.
        engine: None for the one that tuning chose for this processor.
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
