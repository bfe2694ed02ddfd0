"""Checks that all machines that train a run together agree on data, recipe and version."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import metadata
from typing import TYPE_CHECKING

from pplcnet.recipe.adapting import adapted
from pplcnet.system.wording import json_text

if TYPE_CHECKING:
    from pplcnet.data.dataset import Dataset
    from pplcnet.recipe.recipe import Recipe
    from pplcnet.runs.stages import AuditedImages, RunContext
    from pplcnet.training.group import Group

__all__ = ["alike_facts", "joined_nodes"]

OF_A_MACHINE = {
    "cache_gigabytes", "disk_cache_gigabytes", "workers", "worker_processes", "tensorboard",
}  # fmt: skip
"""Recipe fields that may differ between machines that train together."""


def joined_nodes(context: RunContext, training: Dataset) -> AbstractContextManager[Group]:
    """The nodes that train together, once all are connected and agree on what to train."""
    from pplcnet.training.node_group import joined

    division = str(context.run.get("division"))
    alike = alike_facts(context.images, context.recipe, len(training), division)
    return joined(context.nodes, alike, context.watcher.busy, context.watcher.say)


def alike_facts(
    images: AuditedImages, recipe: Recipe, training_images: int, division: str
) -> dict[str, str]:
    """The facts that must be the same on all machines, by name.

    Args:
        division: `splits_digest` of the splits.
    """
    fields = adapted(recipe, training_images + len(images.unlabelled_paths)).to_dict()
    return {
        "photos": f"{images.digest} {division}",
        "recipe": json_text({name: fields[name] for name in fields if name not in OF_A_MACHINE}),
        "version": metadata.version("pplcnet"),
    }
