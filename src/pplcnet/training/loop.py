"""fit: the training loop, resumable at any moment, to the weights of the best epoch."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pplcnet.dataset import MULTI, Dataset
from pplcnet.errors import RecipeError, TrainingInterrupted
from pplcnet.models.creation import create_model
from pplcnet.preprocessing import Preprocessing
from pplcnet.training import checkpoint
from pplcnet.training.averaging import averaged_weights, recalibrate
from pplcnet.training.batches import EvaluationImages, TrainingBatches, batches_of
from pplcnet.training.devices import Devices, Step
from pplcnet.training.distillation import open_teacher, student_network
from pplcnet.training.head import FeatureBatches, compute_features, split_at_pool, train_head
from pplcnet.training.history import event_writer, line_of, write_history
from pplcnet.training.interruption import interrupts_deferred
from pplcnet.training.labels import score_labels
from pplcnet.training.objective import loss_and_metrics
from pplcnet.training.optimizing import compile_model
from pplcnet.training.places import CHECKPOINT, HISTORY
from pplcnet.training.recipe import Recipe
from pplcnet.training.starting import (
    TRUNK,
    Start,
    freeze_stages,
    options_for_training,
    read_start,
    start_from_weights,
)
from pplcnet.training.stochastic_depth import with_stochastic_depth
from pplcnet.weights import native
from pplcnet.weights.loading import load_pretrained

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
        image_size=recipe.test_image_size or recipe.image_size,
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
    unlabelled: Sequence[Path] = (),
    report: Callable[[str], None] = lambda line: None,
) -> FittedModel:
    """Train by a recipe; the state after every epoch stands in `folder`.

    Args:
        folder: where `checkpoint.npz` and `history.csv` go; it exists.
        resume: go on from the checkpoint in `folder`, if there is one. With the same data and
            recipe the result equals that of a run that was never stopped.
        unlabelled: photos without classes that the recipe's teacher says something of.
        report: called with one line of text after every epoch.

    Raises:
        TrainingInterrupted: Ctrl-C; the running step was finished and the state saved.
    """
    # The recipe's precision is for its own network, not for what this process builds later.
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        return _fit(train_set, validation_set, recipe, folder, resume, unlabelled, report)
    finally:
        keras.config.set_dtype_policy(policy)


def _fit(
    train_set: Dataset,
    validation_set: Dataset,
    recipe: Recipe,
    folder: Path,
    resume: bool,
    unlabelled: Sequence[Path],
    report: Callable[[str], None],
) -> FittedModel:
    state = folder / CHECKPOINT
    saved = checkpoint.read(state) if resume and state.exists() else None
    # The state holds all that the weights gave: they need not be there any more.
    start = None if saved else read_start(recipe)
    options = saved.options if saved else options_for_training(recipe, start)
    preprocessing = preprocessing_of(recipe)
    devices = Devices(recipe)
    teacher = open_teacher(recipe, train_set.classes, preprocessing)
    with devices.scope():
        trained = _network(train_set, recipe, options)
        peer = _peer(train_set, recipe, options, start)
    whole = devices.on_one(trained)
    images = EvaluationImages(validation_set, preprocessing, recipe.workers, recipe.cache_gigabytes)
    if start is not None:
        start_from_weights(whole, start, train_set, recipe, preprocessing, report)
    if recipe.head_epochs and saved is None:
        train_head(whole, train_set, recipe, preprocessing, report)
    heads_only = recipe.freeze == TRUNK
    trunk, answering = split_at_pool(whole) if heads_only else (whole, whole)
    _, steps = batches_of(len(train_set) + len(unlabelled), recipe)
    features = math.prod(teacher.features) if teacher and teacher.features else 0
    with devices.scope():
        model = answering
        if not heads_only:
            deep = with_stochastic_depth(trained, recipe.drop_path)
            model = student_network(deep, recipe, teacher, peer)
        compile_model(
            model, recipe, steps, **loss_and_metrics(recipe, train_set, features=features)
        )
    progress = saved.restore(model, whole) if saved else checkpoint.Progress(options=options)
    batches: TrainingBatches | FeatureBatches
    validation: Iterable[NDArray[np.uint8]] | list[NDArray[np.float32]] = images
    if heads_only:
        # Nothing before the head changes, so that its inputs are computed once.
        batches = FeatureBatches(trunk, train_set, recipe, preprocessing, recipe.epochs)
        validation = compute_features(trunk, images, preprocessing)
    else:
        batches = TrainingBatches(
            train_set, recipe, preprocessing, teacher=teacher, unlabelled=unlabelled
        )
    write_history(folder / HISTORY, progress.history)

    step = devices.step_of(model)
    with event_writer(folder, recipe) as write_events, interrupts_deferred() as interrupted:
        while progress.epoch < recipe.epochs and not _has_stalled(progress, recipe):
            rate = _run_epoch(step, batches, progress, recipe, interrupted)
            if progress.step:
                checkpoint.save(state, model, whole, progress)
                raise TrainingInterrupted(
                    f"stopped in epoch {progress.epoch + 1} of {recipe.epochs}, after step "
                    f"{progress.step} of {batches.steps_per_epoch}; the state is saved.",
                    run=str(folder),
                )
            with averaged_weights(model, recipe):
                loss, accuracy = _validate(answering, preprocessing, validation, images.labels)
                _keep_best(progress, whole, loss, accuracy)
            row = {
                "epoch": progress.epoch + 1,
                "loss": round(progress.loss_sum / batches.steps_per_epoch, 5),
                "accuracy": round(progress.accuracy_sum / batches.steps_per_epoch, 5),
                "validation_loss": round(loss, 5),
                "validation_accuracy": round(accuracy, 5),
                "learning_rate": float(f"{float(model.optimizer.learning_rate):.4g}"),
                "images_per_second": round(rate, 1),
            }
            progress.history.append(row)
            progress.epoch += 1
            checkpoint.save(state, model, whole, progress)
            write_history(folder / HISTORY, progress.history)
            write_events(row)
            report(line_of(row, recipe.epochs, "mAP" if train_set.task == MULTI else "accuracy"))
            if interrupted() and progress.epoch < recipe.epochs:
                raise TrainingInterrupted(
                    f"stopped after epoch {progress.epoch} of {recipe.epochs}; the state is saved.",
                    run=str(folder),
                )
    if progress.epoch < recipe.epochs:
        report(f"stopped early: no better for {recipe.early_stopping} epochs")
    whole.trainable = True
    native.set_values(whole, progress.best_values, source=str(state))
    if recipe.recalibrate_batchnorm and isinstance(batches, TrainingBatches):
        count = recipe.recalibrate_batchnorm
        _recalibrate(whole, batches, preprocessing, images, recipe.epochs, count, report)
    return FittedModel(whole, options, progress.best_epoch + 1, progress.history)


def _has_stalled(progress: checkpoint.Progress, recipe: Recipe) -> bool:
    """Whether as many epochs as the recipe waits for have not been better than the best."""
    waited = progress.epoch - 1 - progress.best_epoch
    return bool(recipe.early_stopping and progress.history and waited >= recipe.early_stopping)


def _keep_best(
    progress: checkpoint.Progress, whole: keras.Model, loss: float, accuracy: float
) -> None:
    if (accuracy, -loss) > (progress.best_accuracy, -progress.best_loss):
        progress.best_epoch, progress.best_accuracy = progress.epoch, accuracy
        progress.best_loss = loss
        progress.best_values = native.get_values(whole)


def _recalibrate(
    whole: keras.Model,
    batches: TrainingBatches,
    preprocessing: Preprocessing,
    validation: EvaluationImages,
    epoch: int,
    images: int,
    report: Callable[[str], None],
) -> None:
    """Measure BatchNorm's statistics anew, and take what was before back if that was better."""
    before = native.get_values(whole)
    loss, accuracy = _validate(whole, preprocessing, validation, validation.labels)
    steps = min(batches.steps_per_epoch, -(-images // batches.batch_size))
    recalibrate(whole, (batch.images for batch in islice(batches.epoch(epoch), steps)))
    new_loss, new_accuracy = _validate(whole, preprocessing, validation, validation.labels)
    is_kept = (new_accuracy, -new_loss) >= (accuracy, -loss)
    if not is_kept:
        native.set_values(whole, before, source="before")
    report(
        f"BatchNorm measured anew: validation {new_accuracy:.3f} (loss {new_loss:.3f}), before "
        f"{accuracy:.3f} ({loss:.3f}); {'kept' if is_kept else 'taken back'}"
    )


def _peer(
    train_set: Dataset, recipe: Recipe, options: dict[str, Any], start: Start | None
) -> keras.Model | None:
    """The second student of mutual learning: other initial weights, or another head on theirs."""
    if recipe.distillation != "mutual":
        return None
    peer = create_model(
        recipe.model, num_classes=len(train_set.classes), image_size=_built_for(recipe), **options
    )
    if start is not None:
        load_pretrained(peer, start.path, start.weights)
    return peer


def _built_for(recipe: Recipe) -> tuple[int, int] | None:
    """The size that the network is built for; None where it sees several."""
    sizes = {recipe.size_in_epoch(epoch) for epoch in range(recipe.epochs)}
    sizes.add(recipe.test_image_size or recipe.image_size)
    return sizes.pop() if len(sizes) == 1 else None


def _network(train_set: Dataset, recipe: Recipe, options: dict[str, Any]) -> keras.Model:
    if recipe.distils and train_set.task == MULTI:
        raise RecipeError("distillation is for photos of one class; these have several labels.")
    keras.utils.set_random_seed(recipe.seed)
    model = create_model(
        recipe.model, num_classes=len(train_set.classes), image_size=_built_for(recipe), **options
    )
    if recipe.freeze != TRUNK:
        freeze_stages(model, recipe)  # before the long work, which a wrong name should not cost
    return model


def _run_epoch(
    train_step: Step,
    batches: TrainingBatches | FeatureBatches,
    progress: checkpoint.Progress,
    recipe: Recipe,
    interrupted: Callable[[], bool],
) -> float:
    """Run one epoch and return images/s; an interruption leaves `progress.step` above 0."""
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
