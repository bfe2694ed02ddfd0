"""What has to be the same on all machines that train a run together."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import metadata
from typing import TYPE_CHECKING

from pplcnet.recipe.adapting import adapted
from pplcnet.system.wording import json_text

if TYPE_CHECKING:
    from pplcnet.data.dataset import Dataset
    from pplcnet.runs.stages import RunContext
    from pplcnet.training.group import Group

__all__ = ["joined_nodes"]

OF_A_MACHINE = {
    "cache_gigabytes", "disk_cache_gigabytes", "workers", "worker_processes", "tensorboard",
}  # fmt: skip
"""Recipe fields that may differ between machines that train together."""


def joined_nodes(context: RunContext, training: Dataset) -> AbstractContextManager[Group]:
    """The nodes that train together, once all have come and have the same to train."""
    from pplcnet.training.node_group import joined

    images = context.images
    fields = adapted(context.recipe, len(training) + len(images.unlabelled_paths)).to_dict()
    alike = {
        "photos": f"{images.digest} {context.run.get('division')}",
        "recipe": json_text({name: fields[name] for name in fields if name not in OF_A_MACHINE}),
        "version": metadata.version("pplcnet"),
    }
    return joined(context.nodes, alike, context.watcher.busy, context.watcher.say)
