"""Another process in the search of a run: the same trials' journal, and nothing else written."""

from __future__ import annotations

import time
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.errors import InputError
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import for_task
from pplcnet.runs.files import SPLIT, TRAIN, read_run
from pplcnet.runs.folder import RunFolder, require_keras, run_facts
from pplcnet.runs.splits import resplit
from pplcnet.runs.stages import audit_images
from pplcnet.runs.starts import settle_start
from pplcnet.system.locking import locked
from pplcnet.system.progress import Watcher
from pplcnet.tasks import options_of
from pplcnet.training import searching
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.interruption import signals_stop
from pplcnet.training.names import SEARCH_BEST, SEARCH_TRIALS
from pplcnet.training.pictures import picture_keeper, side_of

__all__ = ["help_search", "is_in_use"]

POLL_SECONDS = 0.5


def is_in_use(out: str | PathLike[str]) -> bool:
    """Whether another process works in the folder of a run."""
    if not Path(out).is_dir():
        return False
    try:
        with locked(out):
            return False
    except InputError:
        return True


def help_search(
    photos: str | PathLike[str],
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    search: float,
    skip_broken: bool = False,
    watcher: Watcher | None = None,
    before_training: Callable[[], object] = lambda: None,
) -> None:
    """Do trials of the search that another process began in `out`, until it is over.

    The arguments are those of `run_job` in that process.

    Raises:
        InputError: the folder has no search under way, or one of other photos.
        RecipeError: that search is of another recipe.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; another process does the trial again.
    """
    watcher = watcher or Watcher()
    require_keras()
    searching.require_optuna()
    folder = RunFolder(Path(out), TRAIN)
    watcher.say(f"{out}: another process has this run; this one helps with its search")
    with watcher.busy("waiting for the search to begin"):
        while not (folder.path / SEARCH_TRIALS).is_file():
            run = read_run(folder.path)
            if not is_in_use(out) or (run is not None and run.get("search") is None):
                raise InputError(
                    f"{folder.path}: no search is under way there; start one, or choose another "
                    "--out."
                )
            time.sleep(POLL_SECONDS)
    if (folder.path / SEARCH_BEST).is_file():
        watcher.say("the search is over already")
        return
    run = folder.recorded()
    dataset = Dataset.open(photos)
    recipe, _ = settle_start(for_task(recipe, options_of(dataset.task)), run, watcher.say)
    with signals_stop(), ImageCache.of(recipe) as image_cache:
        images = audit_images(
            dataset,
            unlabelled=recipe.options.unlabelled,
            skip_broken=skip_broken or bool(run.get("skip_broken")),
            watcher=watcher,
            handover=Handover(side_of(recipe), picture_keeper(recipe, image_cache)),
        )
        folder.resume(run, run_facts(photos, images.digest, recipe))
        folder.check_digest(run, images.digest)
        contents = images.labelled.contents
        splits = resplit(images.dataset, contents, folder.path / SPLIT, recipe.seed).splits
        before_training()
        searching.search(
            splits.train,
            splits.validation,
            adapted(recipe, len(splits.train) + len(images.unlabelled_paths)),
            folder.path,
            seconds=search,
            run_id=run.get("id"),
            unlabelled=images.unlabelled_paths,
            image_cache=image_cache,
            is_helping=True,
            report=watcher.say,
        )
