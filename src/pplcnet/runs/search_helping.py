"""A process that helps in a run's search: it runs trials and writes nothing else."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.errors import InputError
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import for_task
from pplcnet.runs.files import SPLIT, TRAIN, read_run
from pplcnet.runs.folder import RunFolder, require_keras, run_facts
from pplcnet.runs.nodes import alike_facts
from pplcnet.runs.splits import resplit, splits_digest
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
from pplcnet.training.search_database import failures_said, shown_address
from pplcnet.training.search_sharing import Search

__all__ = ["help_search", "is_in_use"]

POLL_SECONDS = 0.5


def is_in_use(out: str | PathLike[str]) -> bool:
    """Whether another process is using the folder of a run."""
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
    search: Search,
    *,
    skip_broken: bool = False,
    watcher: Watcher | None = None,
    before_training: Callable[[], object] = lambda: None,
) -> None:
    """Run trials of the search that another process started in `out`, until it is over.

    The arguments are those of `run_job` in that process. If the search is kept in a database, `out`
    is neither read nor written.

    Raises:
        InputError: there is no search under way, or it uses other photos.
        RecipeError: that search uses another recipe.
        StorageError: the search's database cannot be used.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; another process runs the trial again.
    """
    watcher = watcher or Watcher()
    require_keras()
    searching.require_optuna()
    folder = None if search.study is not None else RunFolder(Path(out), TRAIN)
    place = out if search.study is None else shown_address(search.study)
    watcher.say(f"{place}: another process started this search; this one helps with it")
    run = None
    if folder is not None:
        run = _begun_run(folder, watcher)
        if run is None:
            watcher.say("the search is over already")
            return
    dataset = Dataset.open(photos)
    recipe, _ = settle_start(for_task(recipe, options_of(dataset.task)), run, watcher.say)
    with signals_stop(), ImageCache.of(recipe) as image_cache:
        images = audit_images(
            dataset,
            unlabelled=recipe.options.unlabelled,
            skip_broken=skip_broken or bool(run and run.get("skip_broken")),
            watcher=watcher,
            handover=Handover(side_of(recipe), picture_keeper(recipe, image_cache)),
        )
        if folder is None or run is None:
            splits = images.draw_splits(recipe)
        else:
            folder.resume(run, run_facts(photos, images.digest, recipe))
            folder.check_digest(run, images.digest)
            contents = images.labelled.contents
            splits = resplit(images.dataset, contents, folder.path / SPLIT, recipe.seed).splits
        before_training()
        recipe = adapted(recipe, len(splits.train) + len(images.unlabelled_paths))
        with (
            failures_said(search.study),
            tempfile.TemporaryDirectory(prefix="pplcnet-search-") as own,
        ):
            searching.search(
                splits.train,
                splits.validation,
                recipe,
                Path(own) if folder is None else folder.path,
                seconds=search.seconds,
                run_id=None if run is None else run.get("id"),
                study_at=search.study,
                alike=alike_facts(images, recipe, len(splits.train), splits_digest(splits)),
                unlabelled=images.unlabelled_paths,
                image_cache=image_cache,
                is_helping=True,
                report=watcher.say,
            )


def _begun_run(folder: RunFolder, watcher: Watcher) -> dict[str, Any] | None:
    """The run.json of the search that is under way in a folder; None if it is over."""
    with watcher.busy("waiting for the search to begin"):
        while not (folder.path / SEARCH_TRIALS).is_file():
            run = read_run(folder.path)
            if not is_in_use(folder.path) or (run is not None and run.get("search") is None):
                raise InputError(
                    f"{folder.path}: no search is running there; start one, or choose another "
                    "--out."
                )
            time.sleep(POLL_SECONDS)
    return None if (folder.path / SEARCH_BEST).is_file() else folder.recorded()
