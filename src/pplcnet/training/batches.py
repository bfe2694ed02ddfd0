"""Labelled images to batches of arrays, decoded and augmented by threads ahead of the step.

What a picture looks like in an epoch depends on the seed, the epoch and the picture alone, not on
threads or on what ran before: that is what makes a resumed run equal to an uninterrupted one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import InputError
from pplcnet.imaging.augmentation import augment_image, random_resized_crop
from pplcnet.imaging.decoding import decode
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.wording import counted
from pplcnet.tasks.losses import labels_of, targets_of
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.mixing import erase, mix

if TYPE_CHECKING:
    from pplcnet.training.distillation import Teacher

__all__ = ["Batch", "EvaluationImages", "TrainingBatches", "batches_of", "load_for_evaluation"]

# Crops are taken from pictures kept at this multiple of the input: large enough that most crops
# are still scaled down, small enough to keep thousands in memory.
KEPT_SIZE_FACTOR = 1.5
BATCHES_AHEAD = 2
# Sets a batch's draws apart from those of a picture.
MIXING = 1 << 20


class Batch(NamedTuple):
    """One step's input."""

    images: NDArray[np.float32]
    """(N, height, width, 3), normalised."""
    targets: NDArray[np.float32]
    """(N, T): a column for each class, then what a teacher answers, if there is one."""


def batches_of(images: int, recipe: Recipe) -> tuple[int, int]:
    """Images a step (the recipe's, or all of them when there are fewer), and steps an epoch.

    Batches are full, and divide among the recipe's devices; the rest, other images every epoch, is
    left out.
    """
    batch_size = min(recipe.batch_size, images - images % recipe.devices)
    if not batch_size:
        raise InputError(
            f"{counted(images, 'photo')} for {counted(recipe.devices, 'device')}; give more, or "
            "devices=1."
        )
    return batch_size, images // batch_size


class TrainingBatches:
    """The training images, a fresh random view of each in every epoch."""

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        *,
        teacher: Teacher | None = None,
        unlabelled: Sequence[Path] = (),
        image_cache: ImageCache | None = None,
    ) -> None:
        """`unlabelled` photos come after the labelled ones; only a teacher says what they show.

        `image_cache` may be shared with what else is trained on the same files; without it the
        recipe says how much is kept.
        """
        self._paths = [image.path for image in dataset.images] + list(unlabelled)
        labelled = targets_of(labels_of(dataset), len(dataset.classes))
        self._targets = np.pad(labelled, ((0, len(unlabelled)), (0, 0)))
        self._recipe = recipe
        self._preprocessing = preprocessing
        self._teacher = teacher
        self._chances = _balanced_chances(labelled) if recipe.balanced_sampling else None
        self._kept_side = math.ceil(KEPT_SIZE_FACTOR * max(recipe.image_size))
        self._image_cache = ImageCache.of(recipe) if image_cache is None else image_cache
        self.batch_size, self.steps_per_epoch = batches_of(len(self._paths), recipe)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` (from 0), from `first_step` on."""
        order = self._order(np.random.default_rng((self._recipe.seed, epoch)))
        steps = iter(range(first_step, self.steps_per_epoch))
        workers = self._recipe.workers
        pending: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="pplcnet-batch") as pool:

            def submit() -> None:
                step = next(steps, None)
                if step is not None:
                    members = order[step * self.batch_size : (step + 1) * self.batch_size]
                    pending.append(pool.submit(self._batch, members, epoch, step))

            try:
                for _ in range(workers + BATCHES_AHEAD):
                    submit()
                while pending:
                    batch = pending.popleft().result()
                    submit()
                    yield batch
            finally:
                for each in pending:
                    each.cancel()

    def _order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        if self._chances is None:
            return generator.permutation(len(self._paths))
        labelled = len(self._chances)
        drawn = generator.choice(labelled, labelled, p=self._chances)
        order = np.concatenate([drawn, np.arange(labelled, len(self._paths))])
        return generator.permutation(order)

    def _batch(self, members: NDArray[np.int64], epoch: int, step: int) -> Batch:
        size = self._recipe.size_in_epoch(epoch)
        images = np.stack(
            [
                self._augmented(int(member), epoch, size, place)
                for place, member in enumerate(members, step * self.batch_size)
            ]
        )
        generator = np.random.default_rng((self._recipe.seed, epoch, step, MIXING))
        images, targets = mix(images, self._targets[members], self._recipe, generator)
        if self._teacher is not None:
            targets = np.concatenate([targets, self._teacher.targets(images)], axis=1)
        return Batch(self._preprocessing.normalize(images), targets)

    def _augmented(
        self, member: int, epoch: int, size: tuple[int, int], place: int
    ) -> NDArray[np.uint8]:
        recipe = self._recipe
        # Balanced sampling draws a picture more than once: every time with another view.
        drawn = (place,) if self._chances is not None else ()
        generator = np.random.default_rng((recipe.seed, epoch, member, *drawn))
        image = random_resized_crop(
            self._image(member),
            size,
            scale=recipe.crop_scale,
            ratio=recipe.crop_ratio,
            horizontal_flip=recipe.horizontal_flip,
            generator=generator,
        )
        image = augment_image(
            image,
            recipe.augment,
            generator,
            operations=recipe.augment_operations,
            magnitude=recipe.augment_magnitude,
        )
        if recipe.random_erasing and generator.random() < recipe.random_erasing:
            image = erase(image, generator)
        return image

    def _image(self, member: int) -> NDArray[np.uint8]:
        path, side = self._paths[member], self._kept_side
        return self._image_cache.get((path, side), lambda: _shrunk(path, side))


def _shrunk(path: Path, side: int) -> NDArray[np.uint8]:
    """The picture with a short side of at most `side` pixels."""
    image = decode(path, at_least=side)
    shrink = side / min(image.size)
    if shrink < 1:
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image)


def _balanced_chances(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each photo to be drawn, so that every class comes equally often."""
    counts = targets.sum(axis=0)
    chances: NDArray[np.float64] = (1 / counts[targets.argmax(axis=1)]).astype(np.float64)
    return chances / chances.sum()


def load_for_evaluation(
    dataset: Dataset, preprocessing: Preprocessing, workers: int
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """All images as the deployed classifier will see them: (N, H, W, 3) uint8, and their labels."""
    return _loaded(preprocessing, dataset.images, workers), labels_of(dataset)


def _loaded(
    load: Callable[[Path], NDArray[np.uint8]], images: Sequence[LabelledImage], workers: int
) -> NDArray[np.uint8]:
    with ThreadPoolExecutor(workers) as pool:
        return np.stack(list(pool.map(load, [image.path for image in images])))


class EvaluationImages:
    """A data set as the deployed classifier will see it, a chunk of uint8 images at a time.

    Goes round as often as it is asked to. What `image_cache` keeps is not decoded again.
    """

    CHUNK = 256

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        workers: int,
        image_cache: ImageCache | None = None,
    ) -> None:
        self._dataset = dataset
        self._preprocessing = preprocessing
        self._workers = workers
        self._image_cache = ImageCache() if image_cache is None else image_cache

    @property
    def labels(self) -> NDArray[Any]:
        """(N,) class indices or (N, labels) marks, in the order of the images."""
        return labels_of(self._dataset)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(self._dataset), self.CHUNK):
            chunk = self._dataset.images[start : start + self.CHUNK]
            yield _loaded(self._image, chunk, self._workers)

    def _image(self, path: Path) -> NDArray[np.uint8]:
        key = (path, self._preprocessing)
        return self._image_cache.get(key, lambda: self._preprocessing(path))
