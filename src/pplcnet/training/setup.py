"""Sets up a training: network, optimiser, loss, batches, saved state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.progress import Busy, no_sign
from pplcnet.tasks import find, training_of
from pplcnet.training.batch_sizes import sizes_of_batches
from pplcnet.training.batches import EvaluationImages, Part, TrainingBatches, batches_of
from pplcnet.training.checkpoint import Progress, SavedState
from pplcnet.training.devices import Devices, Step, normalize_in_step
from pplcnet.training.first_weights import soften
from pplcnet.training.group import Alone, Group
from pplcnet.training.head_only import FeatureBatches, compute_features, split_at_pool, train_head
from pplcnet.training.history import history_columns
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.optimizers import compile_model
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.pretrained import (
    BACKBONE,
    freeze_stages,
    options_for_training,
    read_start,
    start_from_weights,
)
from pplcnet.training.recalibration import Recalibration
from pplcnet.training.stochastic_depth import with_stochastic_depth
from pplcnet.training.validation import Validation
from pplcnet.weights.loading import LoadedWeights, load_pretrained
from pplcnet.weights.starts import Start

__all__ = ["FitContext", "Prepared", "Trainable", "build_trainable", "prepare"]


@dataclass(frozen=True, kw_only=True)
class FitContext:
    """The arguments of a training; `fit` describes each of them."""

    train_set: Dataset
    validation_set: Dataset
    recipe: Recipe
    folder: Path
    unlabelled: Sequence[Path] = ()
    image_cache: ImageCache
    run_id: str | None = None
    start: Start | None = None
    report: Callable[[str], None] = lambda line: None
    busy: Busy = no_sign
    before_saving: Callable[[], object] = lambda: None
    group: Group = field(default_factory=Alone)


@dataclass(frozen=True)
class Trainable:
    """A network with everything that a training step needs."""

    network: keras.Model
    """The network to keep, on one device."""
    model: keras.Model
    """What is trained and compiled: the network, its head, or a model around either."""
    backbone: keras.Model | None
    """Computes the features that `model` is trained on; None if it is trained on images."""
    validated: keras.Model
    """What validation runs: the network, or its head if there is a `backbone`."""
    step: Step
    batches: TrainingBatches | FeatureBatches
    metrics: tuple[str, ...]
    """The names of a step's metrics."""
    begin_epoch: Callable[[int], object]
    """Called with an epoch's number (from 0) before its steps."""
    progress: Progress
    """The progress of the saved state, or that of a new training."""


@dataclass(frozen=True)
class Prepared:
    """A training that is ready for its next step."""

    trainable: Trainable
    validation: Validation
    recalibration: Recalibration | None
    """Called before a validation; None if the backbone is not trained."""
    columns: tuple[str, ...]
    """The columns of its history."""
    progress: Progress
    part: Part
    """This node's shard of every batch."""


def prepare(context: FitContext, saved: SavedState | None) -> Prepared:
    """Build everything that a training needs, and restore a saved state into it.

    Raises:
        InputError: the recipe does not fit these images.
        RecipeError: the recipe does not fit this network or machine.
        WeightsError, BundleError: weights or a teacher that cannot be used.
    """
    recipe, train_set, validation_set = context.recipe, context.train_set, context.validation_set
    trainable = build_trainable(
        train_set,
        recipe,
        saved=saved,
        unlabelled=context.unlabelled,
        image_cache=context.image_cache,
        group=context.group,
        report=context.report,
    )
    task, preprocessing = find(train_set.task), preprocessing_of(recipe)
    images = EvaluationImages(validation_set, preprocessing, recipe.workers, context.image_cache)
    expected = Manifest(train_set.classes, preprocessing, {}, task=train_set.task)
    validation = Validation(
        trainable.validated,
        # Nothing before the head changes, so its inputs are computed once.
        compute_features(trainable.backbone, images, preprocessing)
        if trainable.backbone is not None
        else images,
        task.judge(expected, validation_set.images),
        tuple(task.outputs(train_set.classes, recipe.image_size, recipe.model)),
        preprocessing,
    )
    columns = history_columns(trainable.metrics, task.measure.key)
    recalibration = None
    if isinstance(trainable.batches, TrainingBatches):
        recalibration = Recalibration(trainable.network, trainable.batches, recipe, preprocessing)
    part = Part(context.group.index, context.group.count)
    return Prepared(trainable, validation, recalibration, columns, trainable.progress, part)


def build_trainable(
    train_set: Dataset,
    recipe: Recipe,
    *,
    saved: SavedState | None = None,
    unlabelled: Sequence[Path] = (),
    image_cache: ImageCache | None = None,
    group: Group | None = None,
    report: Callable[[str], None],
) -> Trainable:
    """The compiled network at the start of training, and its batches.

    With a saved state, it is restored. The arguments and errors are those of `fit` and `prepare`.
    """
    training = training_of(find(train_set.task))
    recipe = adapted(recipe, len(train_set) + len(unlabelled))
    batch_size, steps = _steps(len(train_set) + len(unlabelled), recipe)
    # The state holds all the weights, so the pretrained file is no longer needed.
    start = None if saved else read_start(recipe)
    options = saved.options if saved else options_for_training(recipe, start)
    preprocessing = preprocessing_of(recipe)
    devices = Devices(recipe, group)
    distillation = training.distillation(recipe, train_set, preprocessing)
    with devices.scope():
        built = _network(train_set, recipe, options)
        peers = (
            [_peer(train_set, recipe, options, start)]
            if distillation is not None and distillation.has_peer
            else []
        )
    network = devices.on_one(built)
    if start is not None:
        start_from_weights(network, start, train_set, recipe, preprocessing, report)
    if recipe.head_epochs and saved is None and recipe.options.pools_features:
        for student in (built, *peers):
            train_head(devices.on_one(student), train_set, recipe, preprocessing, report)
    backbone, validated = None, network
    if recipe.freeze == BACKBONE:
        backbone, validated = split_at_pool(network)
    # With fewer images than the recipe's batch, the rate is that for the actual batch.
    scaled = replace(recipe, batch_size=batch_size)
    with devices.scope():
        objective = (distillation or training).objective(recipe, train_set)
        model = validated
        if backbone is None:
            model = with_stochastic_depth(built, recipe.drop_path)
        model = objective.trained_model(model, *peers)
        compile_model(model, scaled, steps, objective)
        normalize_in_step(model, preprocessing)
    metrics = tuple(metric.name for metric in objective.metrics)
    progress = Progress(options=options)
    if saved is not None:  # before features are computed with the restored backbone
        columns = history_columns(metrics, find(train_set.task).measure.key)
        progress = saved.restore(model, network, columns)
    batches: TrainingBatches | FeatureBatches
    if backbone is not None:
        batches = FeatureBatches(backbone, train_set, recipe, preprocessing, recipe.epochs)
    else:
        batches = TrainingBatches(
            train_set,
            recipe,
            preprocessing,
            target_columns=distillation.target_columns if distillation is not None else None,
            unlabelled=unlabelled,
            image_cache=image_cache,
        )
    return Trainable(
        network=network,
        model=model,
        backbone=backbone,
        validated=validated,
        step=devices.step_of(model),
        batches=batches,
        metrics=metrics,
        begin_epoch=partial(objective.begin_epoch, model),
        progress=progress,
    )


def _steps(images: int, recipe: Recipe) -> tuple[int, int]:
    batch_size, steps = batches_of(images, recipe)
    if recipe.epochs * steps < recipe.gradient_accumulation:
        raise InputError(
            f"gradient_accumulation is {recipe.gradient_accumulation}, but there are only "
            f"{recipe.epochs * steps} batches in all: nothing would be learned; lower it."
        )
    return batch_size, steps


def _peer(
    train_set: Dataset, recipe: Recipe, options: dict[str, Any], start: LoadedWeights | None
) -> keras.Model:
    """A second network: other initial weights, or the same weights with another head."""
    peer = _built(train_set, recipe, options)
    if start is not None:
        # With the same head as well, the two would have nothing to learn from each other.
        head = peer.layers[-1]
        own = head.get_weights()
        load_pretrained(peer, start.path, start.weights)
        head.set_weights(own)
    freeze_stages(peer, recipe)
    return peer


def _network(train_set: Dataset, recipe: Recipe, options: dict[str, Any]) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    model = _built(train_set, recipe, options)
    if recipe.weights is None and recipe.batchnorm_scale != 1:
        soften(model, recipe.batchnorm_scale)
    if recipe.freeze != BACKBONE:
        freeze_stages(model, recipe)  # before the long work, so that a wrong name fails early
    return model


def _built(train_set: Dataset, recipe: Recipe, options: dict[str, Any]) -> keras.Model:
    """The network, built for its one input size, or for any size if it sees several."""
    sizes = sizes_of_batches(recipe) | {recipe.test_image_size or recipe.image_size}
    size = sizes.pop() if len(sizes) == 1 else None
    build = training_of(find(train_set.task)).build
    try:
        return build(recipe.model, train_set.classes, size, options)
    except TypeError as error:  # a saved state's options
        raise InputError(f"{recipe.model}: cannot be built with {options} ({error}).") from error
