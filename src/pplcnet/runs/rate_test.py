"""The learning-rate range test on the training images of a run that has not started yet."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import Handover
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import for_task
from pplcnet.runs.files import TRAIN
from pplcnet.runs.folder import RunFolder, require_keras
from pplcnet.runs.stages import audit_images
from pplcnet.runs.starts import settle_start
from pplcnet.system.progress import Watcher
from pplcnet.tasks import options_of
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.pictures import drop_unneeded, picture_keeper, side_of

if TYPE_CHECKING:
    from pplcnet.training.learning_rates import RangeTest

__all__ = ["find_learning_rate"]

SKIPPED = "learning_rates_skipped.csv"


def find_learning_rate(
    photos: str | PathLike[str],
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    skip_broken: bool = False,
    watcher: Watcher | None = None,
    before_training: Callable[[], object] = lambda: None,
) -> tuple[RangeTest, Path, Path]:
    """Run a range test; returns it with the paths of its CSV file and its plot, both in `out`.

    Arguments and errors are those of `run_job`; a run already in `out` is left alone.
    """
    watcher = watcher or Watcher()
    require_keras()
    folder = RunFolder(Path(out), TRAIN)
    folder.check_place(photos, recipe)
    with folder.opened(), ImageCache.of(recipe) as image_cache:
        dataset = Dataset.open(photos)
        recipe, _ = settle_start(for_task(recipe, options_of(dataset.task)), None, watcher.say)
        images = audit_images(
            dataset,
            skip_broken=skip_broken,
            watcher=watcher,
            listed_in=SKIPPED,
            handover=Handover(side_of(recipe), picture_keeper(recipe, image_cache)),
        )
        training = images.draw_splits(recipe).train
        drop_unneeded(image_cache, [each.path for each in training.images], [])
        before_training()
        from pplcnet.training.learning_rates import (
            draw_range_test,
            run_range_test,
            write_range_test,
        )

        with watcher.busy("trying learning rates"):
            test = run_range_test(training, recipe, image_cache=image_cache, report=watcher.say)
        # Not skipped.csv, which belongs to a run.
        images.write_skipped(folder.path / SKIPPED)
        table, plot = folder.path / "learning_rates.csv", folder.path / "learning_rates.png"
        write_range_test(test, table)
        draw_range_test(test, plot)
    return test, table, plot
