"""fit: the training loop, resumable at any moment, to the weights of the best epoch."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pplcnet.data.dataset import MULTI, Dataset
from pplcnet.errors import ImageError, TrainingDiverged, TrainingInterrupted
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.idle_fields import idle_fields
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.progress import Busy, no_sign
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.tasks.task import Judge
from pplcnet.training import checkpoint
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.devices import Step
from pplcnet.training.head_only import FeatureBatches
from pplcnet.training.history import event_writer, line_of, write_history
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.interruption import interrupts_deferred
from pplcnet.training.names import CHECKPOINT, HISTORY
from pplcnet.training.setup import Prepared, prepare, preprocessing_of
from pplcnet.training.weight_averaging import averaged_weights, recalibrate
from pplcnet.weights import native

__all__ = ["FittedModel", "fit", "preprocessing_of"]


class FittedModel(NamedTuple):
    """What training leaves behind."""

    model: keras.Model
    """With the weights of the best epoch; logits out."""
    options: dict[str, Any]
    """What `build_model` builds it with, besides name, classes and size."""
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
    report: Callable[[str], None] = lambda line: None,
    busy: Busy = no_sign,
    before_saving: Callable[[], object] = lambda: None,
) -> FittedModel:
    """Train by a recipe; the state after every epoch stands in `folder`.

    Args:
        folder: where `checkpoint.npz` and `history.csv` go; it exists.
        resume: continue from the checkpoint in `folder`, if there is one. With the same data and
            recipe the result equals that of a run that was never stopped.
        unlabelled: photos without classes that the recipe's teacher says something of.
        image_cache: decoded images, shared with other trainings on the same files.
        run_id: of the run that the state belongs to, if it belongs to one.
        report: called with one line of text after every epoch.
        busy: called with what is being done where that takes long; gives a context manager.
        before_saving: called before the state after an epoch is saved; what it raises ends the
            training with the state before.

    Raises:
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the running step was finished and the state
            saved.
        ImageError: a photo cannot be read any more; the state was saved.
        InputError: the state in `folder` is damaged, or of another run.
        StorageError: the disk is full.
        TrainingDiverged: the loss became NaN or infinite.
    """
    # The recipe's precision is for its own network, not for what this process builds later.
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with nullcontext(image_cache) if image_cache else ImageCache.of(recipe) as kept:
            return _fit(
                train_set, validation_set, recipe, folder, resume, unlabelled, kept, run_id, report,
                busy, before_saving,
            )  # fmt: skip
    finally:
        keras.config.set_dtype_policy(policy)


def _fit(
    train_set: Dataset,
    validation_set: Dataset,
    recipe: Recipe,
    folder: Path,
    resume: bool,
    unlabelled: Sequence[Path],
    image_cache: ImageCache,
    run_id: str | None,
    report: Callable[[str], None],
    busy: Busy,
    before_saving: Callable[[], object],
) -> FittedModel:
    state = folder / CHECKPOINT
    saved = checkpoint.read(state) if resume and state.exists() else None
    if saved is not None:
        saved.check_run(run_id)
    for line in idle_fields(recipe, is_multi=train_set.task == MULTI):
        report(f"note: {line}")
    with busy("preparing the network"):
        run = prepare(train_set, validation_set, recipe, saved, unlabelled, image_cache, report)
    progress = run.progress
    progress.run = run_id or progress.run
    # Photos may have been left out since.
    progress.step = min(progress.step, run.batches.steps_per_epoch)
    write_history(folder / HISTORY, progress.history)
    step = _first_step_shown(run.step, busy)
    measure = find(train_set.task).measure
    with event_writer(folder, recipe) as write_events, interrupts_deferred() as interrupted:
        while progress.epoch < recipe.epochs and not _has_stalled(progress, recipe):
            row = _one_epoch(run, step, recipe, state, interrupted, before_saving)
            if row is None:
                raise _stopped(
                    f"in epoch {progress.epoch + 1} of {recipe.epochs}, after step "
                    f"{progress.step} of {run.batches.steps_per_epoch}",
                    folder,
                    interrupted(),
                )
            write_history(folder / HISTORY, progress.history)
            write_events(row)
            report(line_of(row, recipe.epochs, measure.title))
            if interrupted():
                place = f"after epoch {progress.epoch} of {recipe.epochs}"
                raise _stopped(place, folder, interrupted())
    if progress.epoch < recipe.epochs:
        report(f"stopped early: no improvement for {counted(recipe.early_stopping, 'epoch')}")
    if progress.best_epoch < 0:
        raise _diverged(progress.epoch, recipe)
    run.whole.trainable = True
    native.set_values(run.whole, progress.best_values, source=str(state))
    if recipe.recalibrate_batchnorm and isinstance(run.batches, TrainingBatches):
        _recalibrate(run, run.batches, recipe, report)
    return FittedModel(run.whole, progress.options, progress.best_epoch + 1, progress.history)


def _stopped(place: str, folder: Path, signal: int) -> TrainingInterrupted:
    return TrainingInterrupted(f"Stopped {place}. The state is saved.", str(folder), signal)


def _one_epoch(
    run: Prepared,
    step: Step,
    recipe: Recipe,
    state: Path,
    interrupted: Callable[[], int],
    before_saving: Callable[[], object],
) -> dict[str, Any] | None:
    """An epoch, its validation, and the state saved; None for one that was interrupted."""
    progress, row = run.progress, None
    try:
        rate = _run_epoch(step, run.batches, progress, recipe, interrupted)
        if not progress.step:
            row = _finish_epoch(run, recipe, rate)
    except ImageError:
        if progress.epoch or progress.step:
            checkpoint.save(state, run.model, run.whole, progress)
        raise
    before_saving()
    checkpoint.save(state, run.model, run.whole, progress)
    return row


def _finish_epoch(run: Prepared, recipe: Recipe, rate: float) -> dict[str, Any]:
    """Validate, keep the best weights, and add a row to the history."""
    progress, steps = run.progress, run.batches.steps_per_epoch
    train_loss = progress.loss_sum / steps
    if not math.isfinite(train_loss):
        raise _diverged(progress.epoch + 1, recipe)
    with averaged_weights(run.model, recipe):
        try:
            loss, accuracy = _validate(run.answering, run.preprocessing, run.validation, run.judge)
        except ImageError:
            progress.step = steps  # what is left of the epoch is its validation
            raise
        _keep_best(progress, run.whole, loss, accuracy)
    row = {
        "epoch": progress.epoch + 1,
        "loss": round(train_loss, 5),
        "accuracy": round(progress.accuracy_sum / steps, 5),
        "validation_loss": round(loss, 5),
        "validation_accuracy": round(accuracy, 5),
        "learning_rate": float(f"{float(run.model.optimizer.learning_rate):.4g}"),
        "images_per_second": round(rate, 1),
    }
    progress.history.append(row)
    progress.epoch += 1
    return row


def _diverged(epoch: int, recipe: Recipe) -> TrainingDiverged:
    return TrainingDiverged(
        f"the loss became NaN or infinite in epoch {epoch}: the learning rate (up to "
        f"{recipe.peak_learning_rate:.3g} a step) is probably too high; train again with a lower "
        "learning_rate (--find-learning-rate suggests one), or with gradient_clip=1."
    )


def _first_step_shown(step: Step, busy: Busy) -> Step:
    """The same step, with a sign of life at the first, which compiles for many seconds."""
    is_first = True

    def shown(images: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, Any]:
        nonlocal is_first
        with busy("compiling the first step") if is_first else nullcontext():
            logs = step(images, targets)
        is_first = False
        return logs

    return shown


def _has_stalled(progress: checkpoint.Progress, recipe: Recipe) -> bool:
    """Whether as many epochs as the recipe waits for have not been better than the best."""
    waited = progress.epoch - 1 - progress.best_epoch
    return bool(recipe.early_stopping and progress.history and waited >= recipe.early_stopping)


def _keep_best(
    progress: checkpoint.Progress, whole: keras.Model, loss: float, accuracy: float
) -> None:
    is_better = (accuracy, -loss) > (progress.best_accuracy, -progress.best_loss)
    if math.isfinite(loss) and is_better:
        progress.best_epoch, progress.best_accuracy = progress.epoch, accuracy
        progress.best_loss = loss
        progress.best_values = native.get_values(whole)


def _recalibrate(
    run: Prepared, batches: TrainingBatches, recipe: Recipe, report: Callable[[str], None]
) -> None:
    """Measure BatchNorm's statistics anew, and take what was before back if that was better."""
    whole = run.whole
    before = native.get_values(whole)
    loss, accuracy = _validate(whole, run.preprocessing, run.validation, run.judge)
    steps = min(batches.steps_per_epoch, -(-recipe.recalibrate_batchnorm // batches.batch_size))
    chosen = islice(batches.epoch(recipe.epochs), steps)
    recalibrate(whole, (batch.images for batch in chosen))
    new_loss, new_accuracy = _validate(whole, run.preprocessing, run.validation, run.judge)
    is_kept = (new_accuracy, -new_loss) >= (accuracy, -loss)
    if not is_kept:
        native.set_values(whole, before, source="before")
    report(
        f"BatchNorm re-estimated: validation {new_accuracy:.3f} (loss {new_loss:.3f}), before "
        f"{accuracy:.3f} ({loss:.3f}); {'kept' if is_kept else 'discarded'}"
    )


def _run_epoch(
    train_step: Step,
    batches: TrainingBatches | FeatureBatches,
    progress: checkpoint.Progress,
    recipe: Recipe,
    interrupted: Callable[[], int],
) -> float:
    """Run one epoch and return images/s.

    An interruption leaves `progress.step` above 0, and so does a photo that cannot be read.
    """
    first_step = progress.step
    if first_step == 0:
        progress.loss_sum = progress.accuracy_sum = 0.0
    progress.step = 0
    started = time.perf_counter()
    with tqdm(
        total=batches.steps_per_epoch * batches.batch_size,
        initial=first_step * batches.batch_size,
        desc=f"epoch {progress.epoch + 1}/{recipe.epochs}",
        unit=" images",
        leave=False,
        disable=None,
        file=sys.stderr,
    ) as bar:
        step = first_step
        try:
            for images, targets in batches.epoch(progress.epoch, first_step):
                logs = train_step(images, targets)
                progress.loss_sum += float(logs["loss"])
                progress.accuracy_sum += float(logs["accuracy"])
                step += 1
                bar.update(len(targets))
                bar.set_postfix(loss=f"{progress.loss_sum / step:.3f}", refresh=False)
                if interrupted() and step < batches.steps_per_epoch:
                    progress.step = step
                    break
        except ImageError:
            progress.step = step
            raise
    done = (step - first_step) * batches.batch_size
    return done / max(time.perf_counter() - started, 1e-9)


def _validate(
    model: keras.Model,
    preprocessing: Preprocessing,
    chunks: Iterable[NDArray[np.uint8]] | list[NDArray[np.float32]],
    judge: Judge,
    batch_size: int = 64,
) -> tuple[float, float]:
    """The judge's loss and value of the model's answers to images (uint8) or features (float)."""
    found = []
    for chunk in chunks:
        for start in range(0, len(chunk), batch_size):
            part: NDArray[Any] = chunk[start : start + batch_size]
            inputs = preprocessing.normalize(part) if part.dtype == np.uint8 else part
            found.append(model.predict_on_batch(inputs))
    outputs = {"logits": np.concatenate(found)}
    return judge.loss(outputs), judge.value(outputs)
