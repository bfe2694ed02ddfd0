"""fit: the training loop, resumable at any moment, to the weights of the best epoch."""

from __future__ import annotations

import csv
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pplcnet.dataset import MULTI, Dataset
from pplcnet.errors import TrainingInterrupted, require
from pplcnet.models.creation import create_model
from pplcnet.preprocessing import Preprocessing
from pplcnet.training import checkpoint
from pplcnet.training.batches import EvaluationImages, TrainingBatches, batches_of
from pplcnet.training.head import FeatureBatches, compute_features, split_at_pool, train_head
from pplcnet.training.labels import score_labels, targets_of
from pplcnet.training.optimizing import compile_model
from pplcnet.training.places import CHECKPOINT, HISTORY
from pplcnet.training.recipe import Recipe
from pplcnet.training.starting import (
    TRUNK,
    freeze_stages,
    options_for_training,
    read_start,
    start_from_weights,
)
from pplcnet.weights import native

__all__ = ["FittedModel", "fit", "preprocessing_of"]


class FittedModel(NamedTuple):
    """What training leaves behind."""

    model: keras.Model
    """With the weights of the best epoch; logits out."""
    options: dict[str, Any]
    """What `create_model` builds it with, besides name, classes and size."""
    best_epoch: int
    """Counted from 1."""
    history: list[dict[str, Any]]


def preprocessing_of(recipe: Recipe) -> Preprocessing:
    """The preprocessing that belongs to what this recipe trains."""
    return Preprocessing(
        image_size=recipe.image_size,
        resize=recipe.resize,
        crop_fraction=recipe.crop_fraction,
        interpolation=recipe.interpolation,
    )


def fit(
    train_set: Dataset,
    validation_set: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> FittedModel:
    """Train by a recipe; the state after every epoch stands in `folder`.

    Args:
        folder: where `checkpoint.npz` and `history.csv` go; it exists.
        resume: go on from the checkpoint in `folder`, if there is one. With the same data and
            recipe the result equals that of a run that was never stopped.
        report: called with one line of text after every epoch.

    Raises:
        TrainingInterrupted: Ctrl-C; the running step was finished and the state saved.
    """
    state = folder / CHECKPOINT
    goes_on = resume and state.exists()
    # The state holds all that the weights gave: they need not be there any more.
    start = None if goes_on else read_start(recipe)
    options = checkpoint.options_in(state) if goes_on else options_for_training(recipe, start)
    whole = _network(train_set, recipe, options)
    preprocessing = preprocessing_of(recipe)
    images = EvaluationImages(validation_set, preprocessing, recipe.workers, recipe.cache_gigabytes)
    if start is not None:
        start_from_weights(whole, start, train_set, recipe, preprocessing, report)
    if recipe.head_epochs and not goes_on:
        train_head(whole, train_set, recipe, preprocessing, report)
    heads_only = recipe.freeze == TRUNK
    model = whole
    batches: TrainingBatches | FeatureBatches
    validation: Iterable[NDArray[np.uint8]] | list[NDArray[np.float32]] = images
    if heads_only:
        trunk, model = split_at_pool(whole)
    _, steps = batches_of(train_set, recipe)
    compile_model(model, recipe, steps, train_set.task)
    if goes_on:
        progress = checkpoint.load(state, model, whole)
    else:
        progress = checkpoint.Progress(options=options)
    if heads_only:
        # Nothing before the head changes, so that its inputs are computed once.
        batches = FeatureBatches(trunk, train_set, recipe, preprocessing, recipe.epochs)
        validation = compute_features(trunk, images, preprocessing)
    else:
        batches = TrainingBatches(train_set, recipe, preprocessing)
    _write_history(folder / HISTORY, progress.history)

    with _event_writer(folder, recipe) as write_events, _interrupts_deferred() as interrupted:
        while progress.epoch < recipe.epochs:
            rate = _run_epoch(model, batches, progress, recipe, interrupted)
            if progress.step:
                checkpoint.save(state, model, whole, progress)
                raise TrainingInterrupted(
                    f"stopped in epoch {progress.epoch + 1} of {recipe.epochs}, after step "
                    f"{progress.step} of {batches.steps_per_epoch}; the state is saved.",
                    run=str(folder),
                )
            loss, accuracy = _validate(model, preprocessing, validation, images.labels)
            row = {
                "epoch": progress.epoch + 1,
                "loss": round(progress.loss_sum / batches.steps_per_epoch, 5),
                "accuracy": round(progress.accuracy_sum / batches.steps_per_epoch, 5),
                "validation_loss": round(loss, 5),
                "validation_accuracy": round(accuracy, 5),
                "learning_rate": float(f"{float(model.optimizer.learning_rate):.4g}"),
                "images_per_second": round(rate, 1),
            }
            if (accuracy, -loss) > (progress.best_accuracy, -progress.best_loss):
                progress.best_epoch, progress.best_accuracy = progress.epoch, accuracy
                progress.best_loss = loss
                progress.best_values = native.get_values(whole)
            progress.history.append(row)
            progress.epoch += 1
            checkpoint.save(state, model, whole, progress)
            _write_history(folder / HISTORY, progress.history)
            write_events(row)
            report(_line(row, recipe.epochs, "mAP" if train_set.task == MULTI else "accuracy"))
            if interrupted() and progress.epoch < recipe.epochs:
                raise TrainingInterrupted(
                    f"stopped after epoch {progress.epoch} of {recipe.epochs}; the state is saved.",
                    run=str(folder),
                )
    whole.trainable = True
    native.set_values(whole, progress.best_values, source=str(state))
    return FittedModel(whole, options, progress.best_epoch + 1, progress.history)


def _network(train_set: Dataset, recipe: Recipe, options: dict[str, Any]) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    model = create_model(
        recipe.model, num_classes=len(train_set.classes), image_size=recipe.image_size, **options
    )
    if recipe.freeze != TRUNK:
        freeze_stages(model, recipe)  # before the long work, which a wrong name should not cost
    return model


def _run_epoch(
    model: keras.Model,
    batches: TrainingBatches | FeatureBatches,
    progress: checkpoint.Progress,
    recipe: Recipe,
    interrupted: Callable[[], bool],
) -> float:
    """Run one epoch and return images/s; an interruption leaves `progress.step` above 0."""
    first_step = progress.step
    if first_step == 0:
        progress.loss_sum = progress.accuracy_sum = 0.0
    num_classes = model.output_shape[-1]
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
        for images, labels in batches.epoch(progress.epoch, first_step):
            logs = model.train_on_batch(images, targets_of(labels, num_classes), return_dict=True)
            progress.loss_sum += float(logs["loss"])
            progress.accuracy_sum += float(logs["accuracy"])
            step += 1
            bar.update(len(labels))
            bar.set_postfix(loss=f"{progress.loss_sum / step:.3f}", refresh=False)
            if interrupted() and step < batches.steps_per_epoch:
                progress.step = step
                break
    done = (step - first_step) * batches.batch_size
    return done / max(time.perf_counter() - started, 1e-9)


def _validate(
    model: keras.Model,
    preprocessing: Preprocessing,
    chunks: Iterable[NDArray[np.uint8]] | list[NDArray[np.float32]],
    labels: NDArray[Any],
    batch_size: int = 64,
) -> tuple[float, float]:
    """(mean cross-entropy, top-1 accuracy) of the model on images (uint8) or features (float).

    Of several labels a photo, (binary cross-entropy, mAP).
    """
    found = []
    for chunk in chunks:
        for start in range(0, len(chunk), batch_size):
            part: NDArray[Any] = chunk[start : start + batch_size]
            inputs = preprocessing.normalize(part) if part.dtype == np.uint8 else part
            found.append(model.predict_on_batch(inputs))
    logits = np.concatenate(found).astype(np.float64)
    if labels.ndim == 2:
        return score_labels(logits, labels)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    return float(loss), float((logits.argmax(axis=1) == labels).mean())


def _line(row: dict[str, Any], epochs: int, measure: str) -> str:
    return (
        f"epoch {row['epoch']:>3}/{epochs}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}"
        f"  validation loss {row['validation_loss']:.3f}"
        f"  {measure} {row['validation_accuracy']:.3f}  {row['images_per_second']:.0f} images/s"
    )


def _write_history(path: Path, history: list[dict[str, Any]]) -> None:
    if not history:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_suffix(".writing")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    os.replace(temporary, path)


@contextmanager
def _interrupts_deferred() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C only sets a flag; a second one stops at once, as always."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    was_interrupted = False
    previous = signal.getsignal(signal.SIGINT)

    def remember(*_: object) -> None:
        nonlocal was_interrupted
        if was_interrupted:
            raise KeyboardInterrupt
        was_interrupted = True
        print("\nfinishing this step, then saving ...", file=sys.stderr, flush=True)

    signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: was_interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _event_writer(folder: Path, recipe: Recipe) -> Iterator[Callable[[dict[str, Any]], None]]:
    if not recipe.tensorboard:
        yield lambda row: None
        return
    tensorboard = require("tensorboardX", purpose="tensorboard = true", extra="tensorboard")
    with tensorboard.SummaryWriter(str(folder / "tensorboard")) as writer:

        def write(row: dict[str, Any]) -> None:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, row["epoch"])
            writer.flush()

        yield write
