"""Training the head alone, on features of the trunk that are computed once.

What the trunk sees of a photo is its evaluation view and, where the recipe flips, that mirrored.
A step costs thousandths of what a step through the trunk costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import features_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.wording import counted
from pplcnet.tasks.losses import targets_of
from pplcnet.tasks.objective import loss_and_metrics
from pplcnet.training.batches import Batch, EvaluationImages, batches_of
from pplcnet.training.optimizers import compile_model

__all__ = ["FeatureBatches", "compute_features", "split_at_pool", "train_head"]

# What does not go with features that are computed once, from nothing but the photos.
ALONE: dict[str, Any] = {
    "teacher": None, "distillation": "soft", "distillation_layers": "", "unlabelled": None,
    "mixup": 0.0, "cutmix": 0.0, "balanced_sampling": False, "drop_path": 0.0, "ema": 0.0,
    "progressive_resizing": 1.0, "devices": 1,
}  # fmt: skip


def split_at_pool(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The trunk, images to pooled features (N, 1, 1, C); and the head, those to logits.

    Both share their layers with the model.
    """
    features = features_of(model).pooled
    return keras.Model(model.input, features), keras.Model(features, model.output, name=model.name)


def compute_features(
    backbone: keras.Model,
    images: Iterable[NDArray[np.uint8]],
    preprocessing: Preprocessing,
    *,
    views: int = 1,
) -> list[NDArray[np.float32]]:
    """Pooled features (N, 1, 1, C) of chunks of prepared images, a list entry for each view.

    The first view is the image, the second its mirror image. The images are not kept.
    """
    parts: list[list[NDArray[np.float32]]] = [[] for _ in range(views)]
    for chunk in images:
        for at in range(0, len(chunk), 32):
            pixels = preprocessing.normalize(chunk[at : at + 32])
            for view, found in enumerate(parts):
                seen = pixels[:, :, ::-1] if view else pixels
                found.append(backbone.predict_on_batch(seen).astype(np.float32))
    return [np.concatenate(found) for found in parts]


class FeatureBatches:
    """As `TrainingBatches`, of features in place of images."""

    def __init__(
        self,
        backbone: keras.Model,
        dataset: Dataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        epochs: int,
    ) -> None:
        images = EvaluationImages(dataset, preprocessing, recipe.workers)
        self._targets = targets_of(images.labels, len(dataset.classes))
        # An epoch sees every photo once, in one of its views.
        views = min(2 if recipe.horizontal_flip else 1, epochs)
        self._views = compute_features(backbone, images, preprocessing, views=views)
        self._seed = recipe.seed
        self.batch_size, self.steps_per_epoch = batches_of(len(dataset), recipe)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` (from 0), from `first_step` on."""
        generator = np.random.default_rng((self._seed, epoch))
        order = generator.permutation(len(self._targets))
        views = generator.integers(0, len(self._views), len(self._targets))
        for step in range(first_step, self.steps_per_epoch):
            members = order[step * self.batch_size : (step + 1) * self.batch_size]
            features = np.stack([self._views[views[member]][member] for member in members])
            yield Batch(features, self._targets[members])


def train_head(
    model: keras.Model,
    train_set: Dataset,
    recipe: Recipe,
    preprocessing: Preprocessing,
    report: Callable[[str], None],
) -> None:
    """`recipe.head_epochs` epochs of the head alone, before everything is trained."""
    backbone, head = split_at_pool(model)
    own = replace(recipe, epochs=recipe.head_epochs, warmup_epochs=0.0, layer_decay=1.0, **ALONE)
    batches = FeatureBatches(backbone, train_set, own, preprocessing, own.epochs)
    scaled = replace(own, batch_size=batches.batch_size)
    compile_model(head, scaled, batches.steps_per_epoch, **loss_and_metrics(own, train_set))
    loss = accuracy = 0.0
    for epoch in range(own.epochs):
        loss = accuracy = 0.0
        for features, targets in batches.epoch(epoch):
            logs = head.train_on_batch(features, targets, return_dict=True)
            loss += float(logs["loss"]) / batches.steps_per_epoch
            accuracy += float(logs["accuracy"]) / batches.steps_per_epoch
    report(f"head alone, {counted(own.epochs, 'epoch')}: loss {loss:.3f}, accuracy {accuracy:.3f}")
