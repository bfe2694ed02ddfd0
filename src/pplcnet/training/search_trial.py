"""One trial of a search: a short training with the values under trial."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.errors import TrainingDiverged
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks import find
from pplcnet.training.history import score_column
from pplcnet.training.names import HISTORY
from pplcnet.training.search_journal import rank
from pplcnet.training.search_lines import scores_and_losses, short_recipe

if TYPE_CHECKING:
    from pplcnet.data.dataset import Dataset
    from pplcnet.training.image_cache import ImageCache

__all__ = ["do_trial"]


class _Stopped(Exception):  # noqa: N818 - it is no error
    """The trial ends before its last epoch: it is worse than others, or it diverged."""


def do_trial(
    study: Any,
    trial: Any,
    tried: Recipe,
    folder: Path,
    data: tuple[Dataset, Dataset, Sequence[Path]],
    image_cache: ImageCache | None,
) -> None:
    """Train a recipe for a few epochs in a folder, and report the score to the study.

    Args:
        tried: the recipe with the trial's values.
        folder: the trial's own; it is removed at the end.
        data: the training and validation images, and those without labels.

    Raises:
        TrainingInterrupted: a signal; the study still has the trial as running.
    """
    import keras
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    from pplcnet.training.loop import fit

    train_set, validation_set, unlabelled = data
    column = score_column(find(train_set.task).measure.key)
    short = short_recipe(tried)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    seen: list[tuple[float, float]] = []

    def after_epoch(_: str) -> None:
        rows = scores_and_losses(folder / HISTORY, column)
        if len(rows) == len(seen):  # a line about something other than an epoch
            return
        seen[:] = rows
        score, loss = rows[-1]
        if not math.isfinite(loss):
            raise _Stopped
        with contextlib.suppress(UpdateFinishedTrialError):
            trial.report(rank(score, loss), len(rows))
        # Early epochs say little: the learning rate is still high.
        if short.epochs / 2 <= len(rows) < short.epochs and trial.should_prune():
            raise _Stopped

    try:
        fit(
            train_set,
            validation_set,
            short,
            folder,
            unlabelled=unlabelled,
            image_cache=image_cache,
            report=after_epoch,
        )
        state = TrialState.COMPLETE
    except _Stopped:
        state = TrialState.PRUNED
    except TrainingDiverged:
        seen.append((0.0, math.inf))
        state = TrialState.PRUNED
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        keras.backend.clear_session()  # or the networks of many trials would fill the memory
    score, loss = max(seen, key=lambda each: rank(*each))
    value = rank(score, loss) if state is TrialState.COMPLETE else None
    with contextlib.suppress(UpdateFinishedTrialError):  # another process considered it dead
        for name, fact in (("score", score), ("loss", loss), ("epochs", len(seen))):
            trial.set_user_attr(name, fact)
        study.tell(trial, value, state=state, skip_if_finished=True)
