"""Labelled images to batches of arrays, decoded and augmented by threads ahead of the step.

What a picture looks like in an epoch depends on the seed, the epoch and the picture alone, not on
threads or on what ran before: that is what makes a resumed run equal to an uninterrupted one.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.dataset import Dataset
from pplcnet.decoding import decode
from pplcnet.preprocessing import Preprocessing
from pplcnet.training.augmentation import random_resized_crop
from pplcnet.training.labels import labels_of
from pplcnet.training.recipe import Recipe

__all__ = ["Batch", "EvaluationImages", "TrainingBatches", "batches_of", "load_for_evaluation"]

# Crops are taken from pictures kept at this multiple of the input: large enough that most crops
# are still scaled down, small enough to keep thousands in memory.
KEPT_SIZE_FACTOR = 1.5
BATCHES_AHEAD = 2
GIGABYTE = 1 << 30


class Batch(NamedTuple):
    """One step's input."""

    images: NDArray[np.float32]
    """(N, height, width, 3), normalised."""
    labels: NDArray[Any]
    """(N,) class indices; or (N, labels) marks where photos have several."""


def batches_of(dataset: Dataset, recipe: Recipe) -> tuple[int, int]:
    """Images a step (the recipe's, or all of them when there are fewer), and steps an epoch.

    Batches are full; the rest, other images every epoch, is left out.
    """
    batch_size = min(recipe.batch_size, len(dataset))
    return batch_size, len(dataset) // batch_size


class TrainingBatches:
    """The training images, a fresh random view of each in every epoch."""

    def __init__(self, dataset: Dataset, recipe: Recipe, preprocessing: Preprocessing) -> None:
        self._dataset = dataset
        self._labels = labels_of(dataset)
        self._recipe = recipe
        self._preprocessing = preprocessing
        self._kept_side = math.ceil(KEPT_SIZE_FACTOR * max(recipe.image_size))
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._bytes_left = int(recipe.cache_gigabytes * GIGABYTE)
        self._lock = threading.Lock()
        self.batch_size, self.steps_per_epoch = batches_of(dataset, recipe)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` (from 0), from `first_step` on."""
        order = np.random.default_rng((self._recipe.seed, epoch)).permutation(len(self._dataset))
        steps = iter(range(first_step, self.steps_per_epoch))
        workers = self._recipe.workers
        pending: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="pplcnet-batch") as pool:

            def submit() -> None:
                step = next(steps, None)
                if step is not None:
                    members = order[step * self.batch_size : (step + 1) * self.batch_size]
                    pending.append(pool.submit(self._batch, members, epoch))

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

    def _batch(self, members: NDArray[np.int64], epoch: int) -> Batch:
        images = np.stack([self._augmented(int(member), epoch) for member in members])
        return Batch(self._preprocessing.normalize(images), self._labels[members])

    def _augmented(self, member: int, epoch: int) -> NDArray[np.uint8]:
        recipe = self._recipe
        return random_resized_crop(
            self._picture(member),
            recipe.image_size,
            scale=recipe.crop_scale,
            ratio=recipe.crop_ratio,
            horizontal_flip=recipe.horizontal_flip,
            generator=np.random.default_rng((recipe.seed, epoch, member)),
        )

    def _picture(self, member: int) -> NDArray[np.uint8]:
        kept = self._kept.get(member)
        if kept is not None:
            return kept
        image = decode(self._dataset.images[member].path, at_least=self._kept_side)
        shrink = self._kept_side / min(image.size)
        if shrink < 1:
            size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        picture = np.asarray(image)
        with self._lock:
            if picture.nbytes <= self._bytes_left and member not in self._kept:
                self._bytes_left -= picture.nbytes
                self._kept[member] = picture
        return picture


def load_for_evaluation(
    dataset: Dataset, preprocessing: Preprocessing, workers: int
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """All images as the deployed classifier will see them: (N, H, W, 3) uint8, and their labels."""
    with ThreadPoolExecutor(workers) as pool:
        images = list(pool.map(preprocessing, [image.path for image in dataset.images]))
    return np.stack(images), labels_of(dataset)


class EvaluationImages:
    """A data set as the deployed classifier will see it, a chunk of uint8 images at a time.

    Goes round as often as it is asked to. What fits into `cache_gigabytes` stays in memory, the
    rest is decoded anew each time.
    """

    CHUNK = 256

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        workers: int,
        cache_gigabytes: float = 0.0,
    ) -> None:
        self._dataset = dataset
        self._preprocessing = preprocessing
        self._workers = workers
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._bytes_left = int(cache_gigabytes * GIGABYTE)

    @property
    def labels(self) -> NDArray[Any]:
        """(N,) class indices or (N, labels) marks, in the order of the images."""
        return labels_of(self._dataset)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(self._dataset), self.CHUNK):
            chunk = self._kept.get(start)
            if chunk is None:
                part = self._dataset.keep(self._dataset.images[start : start + self.CHUNK])
                chunk, _ = load_for_evaluation(part, self._preprocessing, self._workers)
                if chunk.nbytes <= self._bytes_left:
                    self._bytes_left -= chunk.nbytes
                    self._kept[start] = chunk
            yield chunk
