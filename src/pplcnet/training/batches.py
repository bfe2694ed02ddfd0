"""Turns labelled images into batches of arrays; workers decode and augment ahead of the step.

What an image looks like in an epoch depends only on the seed, the epoch and the image, not on
the workers or on what ran before. So a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import InputError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.adapting import automatic_batch_size
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.processor import available_cores
from pplcnet.system.wording import counted
from pplcnet.tasks import find, training_of
from pplcnet.training.batch_sizes import size_of_batch
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.mixing import mix
from pplcnet.training.pictures import side_of
from pplcnet.training.view_workers import PART, UnfinishedBatch, workers_of
from pplcnet.training.views import Views

__all__ = [
    "WHOLE", "Batch", "EvaluationImages", "Part", "TrainingBatches", "batches_of",
    "load_for_evaluation",
]  # fmt: skip

BATCHES_AHEAD = 2
# Keeps a batch's random numbers independent of those of an image.
MIXING = 1 << 20


class Batch(NamedTuple):
    """One step's input."""

    images: NDArray[Any]
    """(N, height, width, 3) uint8, normalised in the step; or features, float32."""
    targets: NDArray[np.float32]
    """(N, ...): the task's targets; with a teacher, its outputs are extra columns."""


@dataclass(frozen=True)
class Part:
    """One node's shard of every batch; all shards are of equal size."""

    index: int
    count: int

    def of(self, batch_size: int) -> slice:
        """The shard's slice of a batch; `batch_size` must be divisible by `count`."""
        size = batch_size // self.count
        return slice(self.index * size, (self.index + 1) * size)


WHOLE = Part(0, 1)


def batches_of(images: int, recipe: Recipe) -> tuple[int, int]:
    """Images per step (the recipe's number, or all if there are fewer), and steps per epoch.

    Batches are always full and divide evenly among the recipe's devices. The remainder of an epoch
    is dropped; it is different images in every epoch.
    """
    wanted = recipe.batch_size or automatic_batch_size(recipe, images)
    batch_size = min(wanted, images - images % recipe.devices)
    if not batch_size:
        raise InputError(
            f"{counted(images, 'photo')} for {counted(recipe.devices, 'device')}; give more, or "
            "devices=1."
        )
    return batch_size, images * recipe.options.passes // batch_size


class TrainingBatches:
    """The training images, with a fresh random view of each in every epoch."""

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        *,
        target_columns: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None,
        unlabelled: Sequence[Path] = (),
        image_cache: ImageCache | None = None,
    ) -> None:
        """Batches of a data set.

        Args:
            target_columns: maps the images of a batch to extra columns of their targets
                (`Distillation.target_columns`).
            unlabelled: images that come after the labelled ones. Their targets are 0 except in
                the extra columns.
            image_cache: shared with other trainings on the same files; by default, a new one of
                the recipe's size.
        """
        training = training_of(find(dataset.task))
        self._targets, self._target_shape = training.targets(dataset), training.target_shape
        paths = [image.path for image in dataset.images] + list(unlabelled)
        self._images = len(paths)
        self._recipe = recipe
        self._target_columns = target_columns
        self._chances = _balanced_chances(dataset) if recipe.options.balanced_sampling else None
        cache = ImageCache.of(recipe) if image_cache is None else image_cache
        views = Views(
            paths,
            training.view,
            recipe,
            side_of(recipe),
            cache,
            read_target=training.read_target,
        )
        self.batch_size, self.steps_per_epoch = batches_of(len(paths), recipe)
        self._worker_count = recipe.workers or available_cores()
        self._workers = workers_of(views, self._worker_count, self.batch_size)

    def epoch(self, epoch: int, first_step: int = 0, part: Part = WHOLE) -> Iterator[Batch]:
        """Yield the batches, or one shard of each, of epoch `epoch` (from 0) from `first_step`."""
        order = self._order(np.random.default_rng((self._recipe.seed, epoch)))
        steps = iter(range(first_step, self.steps_per_epoch))
        pending: deque[list[Future[Batch | None]]] = deque()
        # Mixing combines images across shards, so every node needs the whole batch.
        options = self._recipe.options
        filled, kept = (WHOLE, part) if options.mixup or options.cutmix else (part, WHOLE)
        finish = partial(self._finished, part=kept)
        with self._workers.started() as fill:

            def submit() -> None:
                step = next(steps, None)
                if step is not None:
                    pending.append(fill(self._unfinished(order, epoch, step, filled), finish))

            try:
                for _ in range(-(-self._worker_count * PART // self.batch_size) + BATCHES_AHEAD):
                    submit()
                while pending:
                    results = [share.result() for share in pending.popleft()]
                    submit()
                    yield next(each for each in results if each is not None)
            finally:
                for share in chain.from_iterable(pending):
                    share.cancel()

    def _order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        passes = range(self._recipe.options.passes)
        return np.concatenate([self._order_of_pass(generator) for _ in passes])

    def _order_of_pass(self, generator: np.random.Generator) -> NDArray[np.int64]:
        if self._chances is None:
            return generator.permutation(self._images)
        labelled = len(self._chances)
        drawn = generator.choice(labelled, labelled, p=self._chances)
        order = np.concatenate([drawn, np.arange(labelled, self._images)])
        return generator.permutation(order)

    def _unfinished(
        self, order: NDArray[np.int64], epoch: int, step: int, part: Part
    ) -> UnfinishedBatch:
        start, places = step * self.batch_size, part.of(self.batch_size)
        members = order[start : start + self.batch_size][places]
        size = size_of_batch(self._recipe, epoch, step)
        images: NDArray[np.uint8] = np.empty((len(members), *size, 3), np.uint8)
        shape = self._target_shape(self._targets, size)
        targets = np.zeros((len(members), *shape), np.float32)
        first_place = start + places.start
        return UnfinishedBatch(
            members, epoch, step, images, targets, self._target, first_place=first_place
        )

    def _target(self, member: int) -> Any:
        is_labelled = member < len(self._targets)
        return self._targets[member] if is_labelled else np.zeros_like(self._targets[0])

    def _finished(self, batch: UnfinishedBatch, part: Part) -> Batch:
        """The shard of the batch, mixed, with the teacher's outputs."""
        recipe = self._recipe
        images, targets = mix(
            batch.images,
            batch.targets,
            np.random.default_rng((recipe.seed, batch.epoch, batch.step, MIXING)),
            mixup=recipe.options.mixup,
            cutmix=recipe.options.cutmix,
        )
        places = part.of(len(images))
        images, targets = images[places], targets[places]
        if self._target_columns is not None:
            targets = np.concatenate([targets, self._target_columns(images)], axis=1)
        return Batch(images, targets)


def _balanced_chances(dataset: Dataset) -> NDArray[np.float64]:
    """(N,) probability of drawing each image that makes all classes equally frequent.

    An image with several classes counts as its rarest class.
    """
    rates = 1 / np.maximum(np.asarray(dataset.class_counts(), np.float32), 1)
    least = 1 / len(dataset)
    chances = np.asarray(
        [max((rates[at] for at in image.shown), default=least) for image in dataset.images],
        np.float64,
    )
    return chances / chances.sum()


def load_for_evaluation(
    images: Sequence[LabelledImage],
    preprocessing: Callable[[Path], NDArray[np.uint8]],
    workers: int,
) -> NDArray[np.uint8]:
    """All images as the deployed model will see them, (N, H, W, 3); 0 workers means all cores."""
    with ThreadPoolExecutor(workers or available_cores()) as pool:
        return np.stack(list(pool.map(preprocessing, [image.path for image in images])))


class EvaluationImages:
    """A data set as the deployed model will see it, in chunks of uint8 images (N, H, W, 3).

    It can be iterated over repeatedly. Images held by `image_cache` are not decoded again.
    """

    CHUNK = 256

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        workers: int,
        image_cache: ImageCache | None = None,
    ) -> None:
        self._images = dataset.images
        self._preprocessing = preprocessing
        self._workers = workers
        self._image_cache = ImageCache() if image_cache is None else image_cache

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(self._images), self.CHUNK):
            chunk = self._images[start : start + self.CHUNK]
            yield load_for_evaluation(chunk, self._image, self._workers)

    def _image(self, path: Path) -> NDArray[np.uint8]:
        key = (path, self._preprocessing)
        return self._image_cache.get(key, lambda: self._preprocessing(path))
