"""The nodes that train one network together: their addresses, and which one this is."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pplcnet.errors import InputError, RecipeError
from pplcnet.recipe.recipe import Recipe

__all__ = ["Nodes", "find_nodes"]

ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Nodes:
    """Two or more nodes, in the same order on all of them."""

    addresses: tuple[str, ...]
    """host:port of each."""
    index: int
    """This node's index; node 0 writes the run."""

    @property
    def options(self) -> tuple[str, ...]:
        """The command line's options for this node."""
        return "--nodes", ",".join(self.addresses), "--node", str(self.index)

    def name(self, index: int) -> str:
        """A node as messages name it."""
        return f"node {index} ({self.addresses[index]})"

    def silent(self) -> list[int]:
        """Indices of the other nodes whose port currently accepts no connection."""
        found = []
        for index, address in enumerate(self.addresses):
            host, _, port = address.rpartition(":")
            try:
                if index != self.index:
                    place = host.strip("[]"), int(port)
                    socket.create_connection(place, ANSWER_SECONDS).close()
            except OSError:
                found.append(index)
        return found

    def shared(self, recipe: Recipe) -> Recipe:
        """The recipe with its batch divided among the nodes, one device each.

        Args:
            recipe: with nothing left open (`recipe.adapting`).

        Raises:
            RecipeError: the batch cannot be divided.
        """
        count = len(self.addresses)
        faults = []
        if recipe.devices > 1:
            faults.append(
                f"devices is {recipe.devices}; a node has one device: start a node for every GPU, "
                "each with its own CUDA_VISIBLE_DEVICES"
            )
        if (recipe.batch_size or count) % count:
            faults.append(
                f"batch_size is {recipe.batch_size}; it must be a multiple of {count}, so that "
                "every node gets the same number of photos"
            )
        if recipe.gradient_accumulation > 1:
            faults.append(
                f"gradient_accumulation is {recipe.gradient_accumulation}; it must be 1: several "
                "nodes allow larger batches instead"
            )
        if recipe.freeze == "trunk":
            faults.append(
                "freeze is trunk; several nodes cannot train the head alone, which takes only "
                "seconds"
            )
        if faults:
            raise RecipeError(f"the recipe cannot be trained on {count} nodes:", faults)
        return replace(recipe, devices=count)


def find_nodes(
    addresses: str | None, index: int | None, environment: Mapping[str, str]
) -> Nodes | None:
    """The nodes given by the options or else by TF_CONFIG; None for training on one machine.

    Args:
        addresses: host:port of every node, separated by commas.
        index: this node's index.
        environment: may have TF_CONFIG, as Kubernetes' training operators and Ray Train set it.

    Raises:
        InputError: they are incomplete or inconsistent.
    """
    if addresses is None and index is None:
        return _of_tf_config(environment.get("TF_CONFIG"))
    if addresses is None or index is None:
        raise InputError(
            "--nodes and --node need each other: --nodes a:7001,b:7001 --node 0 on a, --node 1 on "
            "b."
        )
    return _checked(tuple(each.strip() for each in addresses.split(",")), index, "--nodes")


def _checked(addresses: tuple[str, ...], index: int, source: str) -> Nodes:
    for each in addresses:
        host, _, port = each.rpartition(":")
        if not host or not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 1 << 16:
            raise InputError(
                f"{source}: {each!r} is not an address; every node is HOST:PORT, such as "
                "trainer-0:7001."
            )
    if len(addresses) < 2:
        raise InputError(f"{source} names one node; leave it out, or name two or more.")
    if len(set(addresses)) < len(addresses):
        raise InputError(f"{source} names a node twice; on one machine they need different ports.")
    if not 0 <= index < len(addresses):
        raise InputError(
            f"node {index} is not among the {len(addresses)} of {source}; they are counted from 0 "
            f"to {len(addresses) - 1}."
        )
    return Nodes(addresses, index)


def _of_tf_config(text: str | None) -> Nodes | None:
    """The nodes in TF_CONFIG, a chief before the workers; None if it names no others."""
    if not text:
        return None
    try:
        config: Any = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        chiefs, workers = list(cluster.get("chief", [])), list(cluster.get("worker", []))
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
        others = set(cluster) - {"chief", "worker", "evaluator"}
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"TF_CONFIG is not TensorFlow's JSON of a cluster and a task ({error}); correct it, or "
            "unset it to train on this machine alone."
        ) from error
    if len(chiefs) + len(workers) < 2:
        return None
    if others or kind not in ("chief", "worker"):
        raise InputError(
            f"TF_CONFIG has the task {kind!r} in a cluster of {', '.join(sorted(cluster))}; "
            "training takes only workers, and at most one chief."
        )
    place = index + (len(chiefs) if kind == "worker" else 0)
    return _checked(tuple(map(str, chiefs + workers)), place, "TF_CONFIG")
