"""Everything a run begins with: the network, its optimiser and loss, the batches, the state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import MULTI, Dataset
from pplcnet.errors import InputError, RecipeError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks import find
from pplcnet.tasks.objective import loss_and_metrics
from pplcnet.tasks.task import Judge
from pplcnet.training.batches import EvaluationImages, TrainingBatches, batches_of
from pplcnet.training.checkpoint import Progress, SavedState
from pplcnet.training.devices import Devices, Step
from pplcnet.training.distillation import open_teacher, student_network
from pplcnet.training.head_only import FeatureBatches, compute_features, split_at_pool, train_head
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.optimizers import compile_model
from pplcnet.training.pretrained import (
    BACKBONE,
    freeze_stages,
    options_for_training,
    read_start,
    start_from_weights,
)
from pplcnet.training.stochastic_depth import with_stochastic_depth
from pplcnet.weights.loading import LoadedWeights, load_pretrained

__all__ = ["Prepared", "prepare", "preprocessing_of"]


@dataclass(frozen=True)
class Prepared:
    """A run that is ready for its next step."""

    whole: keras.Model
    """The network that is kept, on one device; logits out."""
    model: keras.Model
    """What is trained and compiled: the network, its head, or more around it."""
    answering: keras.Model
    """What validation asks: the network, or its head."""
    step: Step
    batches: TrainingBatches | FeatureBatches
    validation: Iterable[NDArray[np.uint8]] | list[NDArray[np.float32]]
    """Images, or features of them where only the head is trained."""
    judge: Judge
    """Of `validation`."""
    preprocessing: Preprocessing
    progress: Progress


def preprocessing_of(recipe: Recipe) -> Preprocessing:
    """The preprocessing that belongs to what this recipe trains."""
    return Preprocessing(
        image_size=recipe.test_image_size or recipe.image_size,
        resize=recipe.resize,
        crop_fraction=recipe.crop_fraction,
        interpolation=recipe.interpolation,
    )


def prepare(
    train_set: Dataset,
    validation_set: Dataset,
    recipe: Recipe,
    saved: SavedState | None,
    unlabelled: Sequence[Path],
    image_cache: ImageCache,
    report: Callable[[str], None],
) -> Prepared:
    """Build all that a run needs, and put a saved state into it.

    Raises:
        InputError: a recipe that does not go with these photos.
        RecipeError: one that does not go with this network or machine.
        WeightsError, BundleError: weights or a teacher that cannot be used.
    """
    batch_size, steps = _steps(len(train_set) + len(unlabelled), recipe)
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
    images = EvaluationImages(validation_set, preprocessing, recipe.workers, image_cache)
    if start is not None:
        start_from_weights(whole, start, train_set, recipe, preprocessing, report)
    if recipe.head_epochs and saved is None:
        for student in (trained, peer) if peer is not None else (trained,):
            train_head(devices.on_one(student), train_set, recipe, preprocessing, report)
    heads_only = recipe.freeze == BACKBONE
    backbone, answering = split_at_pool(whole) if heads_only else (whole, whole)
    # With fewer photos than a batch of the recipe, the rate is that of the batch there is.
    scaled = replace(recipe, batch_size=batch_size)
    features = math.prod(teacher.features) if teacher and teacher.features else 0
    with devices.scope():
        model = answering
        if not heads_only:
            deep = with_stochastic_depth(trained, recipe.drop_path)
            model = student_network(deep, recipe, teacher, peer)
        objective = loss_and_metrics(recipe, train_set, features=features)
        compile_model(model, scaled, steps, **objective)
    batches: TrainingBatches | FeatureBatches
    validation: Iterable[NDArray[np.uint8]] | list[NDArray[np.float32]] = images
    if heads_only:
        # Nothing before the head changes, so that its inputs are computed once.
        batches = FeatureBatches(backbone, train_set, recipe, preprocessing, recipe.epochs)
        validation = compute_features(backbone, images, preprocessing)
    else:
        batches = TrainingBatches(
            train_set,
            recipe,
            preprocessing,
            teacher=teacher,
            unlabelled=unlabelled,
            image_cache=image_cache,
        )
    expected = Manifest(train_set.classes, preprocessing, {}, task=train_set.task)
    return Prepared(
        whole,
        model,
        answering,
        devices.step_of(model),
        batches,
        validation,
        find(train_set.task).judge(expected, validation_set.images),
        preprocessing,
        saved.restore(model, whole) if saved else Progress(options=options),
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
) -> keras.Model | None:
    """The second student of mutual learning: other initial weights, or another head on theirs."""
    if recipe.distillation != "mutual":
        return None
    peer = build_model(
        recipe.model, num_classes=len(train_set.classes), image_size=_built_for(recipe), **options
    )
    if start is not None:
        # Two students with one head too would have nothing to say to each other.
        head = peer.layers[-1]
        own = head.get_weights()
        load_pretrained(peer, start.path, start.weights)
        head.set_weights(own)
    freeze_stages(peer, recipe)
    return peer


def _built_for(recipe: Recipe) -> tuple[int, int] | None:
    """The size that the network is built for; None where it sees several."""
    sizes = {recipe.size_in_epoch(epoch) for epoch in range(recipe.epochs)}
    sizes.add(recipe.test_image_size or recipe.image_size)
    return sizes.pop() if len(sizes) == 1 else None


def _network(train_set: Dataset, recipe: Recipe, options: dict[str, Any]) -> keras.Model:
    if recipe.distils and train_set.task == MULTI:
        raise RecipeError("distillation is for photos of one class; these have several labels.")
    if recipe.balanced_sampling and train_set.task == MULTI:
        raise RecipeError(
            "balanced_sampling is for photos of one class; these have several labels."
        )
    keras.utils.set_random_seed(recipe.seed)
    model = build_model(
        recipe.model, num_classes=len(train_set.classes), image_size=_built_for(recipe), **options
    )
    if recipe.freeze != BACKBONE:
        freeze_stages(model, recipe)  # before the long work, which a wrong name should not cost
    return model
