"""What nodes other than node 0 do in a run: the same training, writing nothing.

Photos are read from this node's own disk. Node 0 sends the state that a resumed run continues from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.data.splits import Splits
from pplcnet.errors import TrainingInterrupted
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import for_task
from pplcnet.runs.files import SPLIT, TRAIN, read_run
from pplcnet.runs.folder import RunFolder, require_keras, run_facts
from pplcnet.runs.nodes import joined_nodes
from pplcnet.runs.splits import resplit, splits_digest
from pplcnet.runs.stages import AuditedImages, RunContext, audit_images
from pplcnet.runs.starts import settle_start
from pplcnet.system.progress import Watcher
from pplcnet.tasks import options_of
from pplcnet.training import searching
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.interruption import signals_stop
from pplcnet.training.nodes import Nodes
from pplcnet.training.pictures import drop_unneeded, picture_keeper, side_of

__all__ = ["join_run"]


def join_run(
    photos: str | PathLike[str],
    recipe: Recipe,
    out: str | PathLike[str],
    nodes: Nodes,
    *,
    skip_broken: bool = False,
    resume: bool = False,
    watcher: Watcher | None = None,
    before_training: Callable[[], object] = lambda: None,
) -> None:
    """Train with the other nodes until node 0 has what it needs to finish the run.

    The arguments are those of `run_job` on node 0.

    Args:
        out: the run's folder; only read, and only with `resume` if the nodes share it.

    Raises:
        InputError: the nodes differ in what they train.
        NodeLost: another node ended.
        TrainingInterrupted: a signal on any node, after node 0 has saved the state.
    """
    watcher = watcher or Watcher()
    require_keras()
    folder = RunFolder(Path(out), TRAIN)
    before = read_run(folder.path) if resume else None
    dataset = Dataset.open(photos)
    recipe, _ = settle_start(for_task(recipe, options_of(dataset.task)), before, watcher.say)
    with signals_stop(), ImageCache.of(recipe) as image_cache:
        images = audit_images(
            dataset,
            unlabelled=recipe.options.unlabelled,
            skip_broken=skip_broken or bool(before and before.get("skip_broken")),
            watcher=watcher,
            handover=Handover(side_of(recipe), picture_keeper(recipe, image_cache)),
        )
        splits = _splits(folder, images, recipe, is_resumed=before is not None)
        if before is not None:
            recipe = searching.read_best(folder.path, recipe, before.get("id")) or recipe
        drop_unneeded(
            image_cache,
            [*(each.path for each in splits.train.images), *images.unlabelled_paths],
            [each.path for each in splits.validation.images],
        )
        run = {**run_facts(photos, images.digest, recipe), "division": splits_digest(splits)}
        context = RunContext(
            folder, recipe, images, run, watcher, before_training, image_cache, nodes
        )
        before_training()
        _train(context, splits)


def _splits(
    folder: RunFolder, images: AuditedImages, recipe: Recipe, *, is_resumed: bool
) -> Splits:
    path = folder.path / SPLIT
    if not (is_resumed and path.is_file()):
        return images.draw_splits(recipe)
    contents, seed = images.labelled.contents, recipe.seed
    return resplit(images.dataset, contents, path, seed).splits


def _train(context: RunContext, splits: Splits) -> None:
    from pplcnet.training.loop import fit

    with (
        joined_nodes(context, splits.train) as group,
        tempfile.TemporaryDirectory(prefix="pplcnet-node-") as own,
    ):
        try:
            fit(
                splits.train,
                splits.validation,
                context.recipe.changed({"tensorboard": False}),
                Path(own),
                resume=True,
                unlabelled=context.images.unlabelled_paths,
                image_cache=context.image_cache,
                report=context.watcher.say,
                busy=context.watcher.busy,
                before_saving=context.images.raise_changed,
                group=group,
            )
        except TrainingInterrupted as stopped:
            out = str(context.folder.path)
            raise TrainingInterrupted(str(stopped), out, stopped.signal) from stopped
