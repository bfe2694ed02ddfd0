"""A learning-rate range test on the photos of a run that is still to be made."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.folder import check_place, opened, require_keras
from pplcnet.runs.stages import audited, splits_of, write_skipped
from pplcnet.system.progress import Watcher

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
    """A learning-rate range test on the training images, its CSV file and its picture in `out`.

    Arguments and errors are those of `run_job`; a run that is in `out` is left alone.
    """
    watcher = watcher or Watcher()
    require_keras()
    out = Path(out)
    check_place(out, photos, recipe)
    with opened(out):
        checked = audited(photos, skip_broken, watcher, listed_in=SKIPPED)
        dataset = checked.without_faults() if checked.faults else checked.dataset
        splits = splits_of(dataset, recipe, checked)
        before_training()
        from pplcnet.training.learning_rates import (
            draw_range_test,
            run_range_test,
            write_range_test,
        )

        with watcher.busy("trying learning rates"):
            test = run_range_test(splits.train, recipe, report=watcher.say)
        # Not skipped.csv, which is a run's.
        write_skipped(checked, out / SKIPPED)
        table, image = out / "learning_rates.csv", out / "learning_rates.png"
        write_range_test(test, table)
        draw_range_test(test, image)
    return test, table, image
