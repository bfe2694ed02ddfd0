"""fit: the training loop, resumable at any time; it returns the weights of the best epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras

from pplcnet.data.dataset import Dataset
from pplcnet.errors import ImageError, TrainingInterrupted
from pplcnet.recipe.adapting import adapted, open_fields
from pplcnet.recipe.idle_fields import idle_fields
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.progress import Busy, no_sign
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.training import checkpoint
from pplcnet.training.devices import Step
from pplcnet.training.epoch import diverged, run_epoch
from pplcnet.training.group import Alone, Group
from pplcnet.training.history import event_writer, line_of, write_history
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.interruption import interrupts_deferred
from pplcnet.training.names import CHECKPOINT, HISTORY
from pplcnet.training.setup import FitContext, Prepared, prepare
from pplcnet.training.signs_of_life import with_signs_of_life
from pplcnet.training.validation import Score
from pplcnet.training.weight_averaging import averaged_weights
from pplcnet.weights import native
from pplcnet.weights.starts import Start

__all__ = ["FittedModel", "fit"]


class FittedModel(NamedTuple):
    """The result of training."""

    model: keras.Model
    """With the weights of the best epoch."""
    recipe: Recipe
    """The given recipe with its open fields filled in."""
    options: dict[str, Any]
    """The options that the task builds it with, besides name, classes and size."""
    best_epoch: int
    """Counted from 1."""
    history: list[dict[str, Any]]


def fit(
    train_set: Dataset,
    validation_set: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    unlabelled: Sequence[Path] = (),
    image_cache: ImageCache | None = None,
    run_id: str | None = None,
    start: Start | None = None,
    report: Callable[[str], None] = lambda line: None,
    busy: Busy = no_sign,
    before_saving: Callable[[], object] = lambda: None,
    group: Group | None = None,
) -> FittedModel:
    """Train according to a recipe, saving the state in `folder` after every epoch.

    Args:
        folder: where `checkpoint.npz` and `history.csv` go; it exists.
        resume: continue from the checkpoint in `folder`, if there is one. With the same data and
            recipe the result equals that of a run that was never stopped.
        unlabelled: images without labels, for which the recipe's teacher gives targets.
        image_cache: decoded images, shared with other trainings on the same files.
        run_id: id of the run that the state belongs to, if any.
        start: what the recipe's weights are, to be kept in the state.
        report: called with one line of text after every epoch.
        busy: called with a description of long work; returns a context manager.
        before_saving: called before the state after an epoch is saved; if it raises, training ends
            with the previous state.
        group: nodes that train together, each with its own folder; node 0 alone saves the state.

    Raises:
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the running step was finished and the state
            saved.
        ImageError: an image can no longer be read; the state was saved.
        InputError: the state in `folder` is damaged, or of another run.
        StorageError: the disk is full.
        TrainingDiverged: the loss became NaN or infinite.
    """
    # The recipe's precision applies to its own network, not to others built by this process later.
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with nullcontext(image_cache) if image_cache else ImageCache.of(recipe) as kept:
            context = FitContext(
                train_set=train_set,
                validation_set=validation_set,
                recipe=recipe,
                folder=folder,
                unlabelled=unlabelled,
                image_cache=kept,
                run_id=run_id,
                start=start,
                report=report,
                busy=busy,
                before_saving=before_saving,
                group=group or Alone(),
            )
            return _fit(context, resume=resume)
    finally:
        keras.config.set_dtype_policy(policy)


def _fit(context: FitContext, *, resume: bool) -> FittedModel:
    folder, report, group = context.folder, context.report, context.group
    state = folder / CHECKPOINT
    group.send_file(state)
    saved = checkpoint.read(state) if resume and state.exists() else None
    if saved is not None:
        saved.check_run(context.run_id)
        context = replace(context, recipe=saved.recipe(context.recipe))
    recipe = adapted(context.recipe, len(context.train_set) + len(context.unlabelled))
    context = replace(context, recipe=group.shared(recipe))
    for line in idle_fields(recipe):
        report(f"note: {line}")
    with context.busy("preparing the network"):
        run = prepare(context, saved)
    group.share(checkpoint.state_variables(run.trainable.model, run.trainable.network))
    progress, steps = run.progress, run.trainable.batches.steps_per_epoch
    progress.run = context.run_id or progress.run
    progress.adapted = open_fields(recipe)
    progress.start = context.start.facts() if context.start is not None else progress.start
    # Some images may have been left out since.
    progress.step = min(progress.step, steps)
    write_history(folder / HISTORY, progress.history)
    left = (recipe.epochs - progress.epoch) * steps - progress.step
    step = with_signs_of_life(run.trainable.step, context, left)
    measure = find(context.train_set.task).measure
    with event_writer(folder, recipe) as write_events, interrupts_deferred() as own_signal:
        interrupted = group.watch(own_signal)
        while progress.epoch < recipe.epochs and not progress.has_stalled(recipe.early_stopping):
            row = _one_epoch(run, step, context, interrupted)
            if row is None:
                raise _stopped(
                    f"in epoch {progress.epoch + 1} of {recipe.epochs}, after step "
                    f"{progress.step} of {steps}",
                    folder,
                    interrupted(),
                )
            write_history(folder / HISTORY, progress.history)
            write_events(row)
            report(line_of(row, recipe.epochs, measure))
            group.agree()
            if interrupted():
                place = f"after epoch {progress.epoch} of {recipe.epochs}"
                raise _stopped(place, folder, interrupted())
    if progress.epoch < recipe.epochs:
        report(f"stopped early: no improvement for {counted(recipe.early_stopping, 'epoch')}")
    if progress.best_epoch < 0:
        raise diverged(progress.epoch, recipe)
    network = run.trainable.network
    network.trainable = True
    native.set_values(network, progress.best_values, source=str(state))
    return FittedModel(network, recipe, progress.options, progress.best_epoch + 1, progress.history)


def _stopped(place: str, folder: Path, signal: int) -> TrainingInterrupted:
    return TrainingInterrupted(f"Stopped {place}. The state is saved.", str(folder), signal)


def _one_epoch(
    run: Prepared, step: Step, context: FitContext, interrupted: Callable[[], int]
) -> dict[str, Any] | None:
    """Run an epoch, validate and save; returns its history row, None if it was interrupted."""
    progress, trainable, group, row = run.progress, run.trainable, context.group, None
    state = context.folder / CHECKPOINT
    try:
        trainable.begin_epoch(progress.epoch)
        rate = run_epoch(step, run, context.recipe, interrupted)
        group.average_statistics(trainable.model)
        if not progress.step:
            row = _finish_epoch(run, context, rate)
    except ImageError:
        # Several nodes resume from the previous epoch: the others do not know about the photo.
        if (progress.epoch or progress.step) and group.count == 1:
            checkpoint.save(state, trainable.model, trainable.network, progress)
        raise
    context.before_saving()
    if group.index == 0:
        checkpoint.save(state, trainable.model, trainable.network, progress)
    return row


def _finish_epoch(run: Prepared, context: FitContext, rate: float) -> dict[str, Any]:
    """Validate, keep the best weights, and add a row to the history; returns the row."""
    progress, trainable, group = run.progress, run.trainable, context.group
    steps = trainable.batches.steps_per_epoch
    with averaged_weights(trainable.model, context.recipe):
        score = Score(0.0, 0.0)
        if group.index == 0:
            try:
                if run.recalibration is not None:
                    run.recalibration()
                score = run.validation.score()
            except ImageError:
                progress.step = steps  # only the epoch's validation is left
                raise
        score = Score(*group.from_first(score))
        group.share(trainable.network.non_trainable_variables)  # measured anew by node 0
        progress.keep_if_best(score, trainable.network)
    values = [
        progress.epoch + 1,
        round(progress.loss_sum / steps, 5),
        *(round(progress.metric_sums[name] / steps, 5) for name in trainable.metrics),
        round(score.loss, 5),
        round(score.value, 5),
        float(f"{float(trainable.model.optimizer.learning_rate):.4g}"),
        round(rate, 1),
    ]
    row = dict(zip(run.columns, values, strict=True))
    progress.history.append(row)
    progress.epoch += 1
    return row
