"""Trains the head alone, on backbone features that are computed once.

The backbone sees each image as in evaluation and, if the recipe flips, also mirrored. A step costs
thousandths of a step through the backbone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import features_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.wording import counted
from pplcnet.tasks import find, training_of
from pplcnet.training.batches import WHOLE, Batch, EvaluationImages, Part, batches_of
from pplcnet.training.optimizers import compile_model

__all__ = ["FeatureBatches", "compute_features", "split_at_pool", "train_head"]


def split_at_pool(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The backbone (images to pooled features (N, 1, 1, C)) and the head (features to logits).

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
    """Like `TrainingBatches`, but with features in place of images."""

    def __init__(
        self,
        backbone: keras.Model,
        dataset: Dataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        epochs: int,
    ) -> None:
        images = EvaluationImages(dataset, preprocessing, recipe.workers)
        self._targets = training_of(find(dataset.task)).targets(dataset)
        # An epoch sees every image once, in one of its views.
        views = min(2 if recipe.horizontal_flip else 1, epochs)
        self._views = compute_features(backbone, images, preprocessing, views=views)
        self._seed = recipe.seed
        self.batch_size, self.steps_per_epoch = batches_of(len(dataset), recipe)

    def epoch(self, epoch: int, first_step: int = 0, part: Part = WHOLE) -> Iterator[Batch]:
        """Yield the batches, or one shard of each, of epoch `epoch` (from 0) from `first_step`."""
        generator = np.random.default_rng((self._seed, epoch))
        order = generator.permutation(len(self._targets))
        views = generator.integers(0, len(self._views), len(self._targets))
        for step in range(first_step, self.steps_per_epoch):
            members = order[step * self.batch_size : (step + 1) * self.batch_size]
            members = members[part.of(self.batch_size)]
            features = np.stack([self._views[views[member]][member] for member in members])
            yield Batch(features, np.stack([self._targets[int(member)] for member in members]))


def train_head(
    model: keras.Model,
    train_set: Dataset,
    recipe: Recipe,
    preprocessing: Preprocessing,
    report: Callable[[str], None],
) -> None:
    """Train the head alone for `recipe.head_epochs` epochs, before training the whole network."""
    backbone, head = split_at_pool(model)
    own = replace(
        recipe, epochs=recipe.head_epochs, warmup_epochs=0.0, layer_decay=1.0, ema=0.0, devices=1
    )
    batches = FeatureBatches(backbone, train_set, own, preprocessing, own.epochs)
    scaled = replace(own, batch_size=batches.batch_size)
    task = find(train_set.task)
    objective = training_of(task).objective(own, train_set)
    trained = objective.trained_model(head)
    compile_model(trained, scaled, batches.steps_per_epoch, objective)
    names = ("loss", *(metric.name for metric in objective.metrics))
    means = dict.fromkeys(names, 0.0)
    for epoch in range(own.epochs):
        means = dict.fromkeys(names, 0.0)
        for features, targets in batches.epoch(epoch):
            logs = trained.train_on_batch(features, targets, return_dict=True)
            for name in names:
                means[name] += float(logs[name]) / batches.steps_per_epoch
    titles = {**task.measure.of_steps, task.measure.key: task.measure.title}
    figures = "  ".join(f"{titles.get(name, name)} {value:.3f}" for name, value in means.items())
    report(f"head alone, {counted(own.epochs, 'epoch')}  {figures}")
