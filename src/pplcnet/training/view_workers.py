"""The workers that fill batches with views ahead of the step: threads, or processes.

Threads share the pictures in memory. They also share Python's interpreter lock, which a view holds
for much of its time (`benchmarks/loading_parts.py`): fast enough for any CPU, not for a fast GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock
from typing import Any, Protocol, TypeVar
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import RecipeError
from pplcnet.training.batch_sizes import sizes_of_batches
from pplcnet.training.devices import has_gpu
from pplcnet.training.view_process import Ask, ViewProcess, with_share_of_cache
from pplcnet.training.views import Views

__all__ = ["PART", "Processes", "Threads", "UnfinishedBatch", "Workers", "workers_of"]

# Below this, threads are as fast: they hold the interpreter lock for only half of a view's time.
ENOUGH_FOR_PROCESSES = 4
# Images per task of a thread: few, so that all threads work on the next batch.
PART = 8

Finished = TypeVar("Finished")


class UnfinishedBatch:
    """A batch that several workers fill."""

    def __init__(
        self,
        members: NDArray[np.int64],
        epoch: int,
        step: int,
        images: NDArray[np.uint8],
        targets: NDArray[np.float32],
        target_of: Callable[[int], Any],
        *,
        first_place: int,
    ) -> None:
        """A batch of the images `members`, to be written to `images` and `targets`.

        `first_place` is the place of its first image among all of the epoch.
        """
        self.members, self.epoch, self.step, self._first_place = members, epoch, step, first_place
        self.images, self.targets = images, targets
        self._target_of = target_of
        self._images_left = len(members)
        self._lock = Lock()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its images."""
        return self.images.shape[1], self.images.shape[2]

    def ask(self, at: int) -> Ask:
        """The request for one place in the batch: the image, its target, its place in the epoch."""
        member = int(self.members[at])
        return member, self._target_of(member), self._first_place + at

    def is_complete_with(self, images: int) -> bool:
        """Count `images` as done; returns whether the batch is complete. Call once per part."""
        with self._lock:
            self._images_left -= images
            return not self._images_left


class Submit(Protocol):
    """Submits a batch to be filled."""

    def __call__(
        self, batch: UnfinishedBatch, finish: Callable[[UnfinishedBatch], Finished]
    ) -> list[Future[Finished | None]]:
        """A future for each part; the last part to finish returns `finish(batch)`, others None."""
        ...


class Workers(Protocol):
    """Threads or processes."""

    def started(self) -> AbstractContextManager[Submit]:
        """Within, batches can be submitted."""
        ...


def workers_of(views: Views, count: int, most_images: int) -> Workers:
    """The recipe's kind of workers; RecipeError for processes where they do not work.

    Args:
        most_images: the largest number of images in a batch.
    """
    wanted, can_share = views.recipe.worker_processes, hasattr(os, "memfd_create")
    if wanted and not can_share:
        raise RecipeError("worker_processes needs Linux; leave it off.")
    if wanted is None:
        wanted = can_share and count >= ENOUGH_FOR_PROCESSES and has_gpu()
    return Processes(views, count, most_images) if wanted else Threads(views, count)


class Threads:
    """Threads of this process."""

    def __init__(self, views: Views, count: int) -> None:
        self._views, self._count = views, count

    @contextmanager
    def started(self) -> Iterator[Submit]:
        """Within, batches can be submitted."""
        with ThreadPoolExecutor(self._count, thread_name_prefix="pplcnet-batch") as pool:

            def submit(batch: UnfinishedBatch, finish: Callable[[UnfinishedBatch], Any]) -> Any:
                places = range(len(batch.members))
                parts = [places[start : start + PART] for start in places[::PART]]
                return [pool.submit(self._fill, batch, part, finish) for part in parts]

            yield submit

    def _fill(
        self,
        batch: UnfinishedBatch,
        places: Sequence[int],
        finish: Callable[[UnfinishedBatch], Finished],
    ) -> Finished | None:
        for at in places:
            member, target, place = batch.ask(at)
            shown = self._views.show(
                member, target, epoch=batch.epoch, size=batch.size, place=place
            )
            batch.images[at], batch.targets[at] = shown
        return finish(batch) if batch.is_complete_with(len(places)) else None


class Processes:
    """Processes, each with a thread here that sends it requests.

    An image always goes to the same process, which caches its picture.
    """

    def __init__(self, views: Views, count: int, most_images: int) -> None:
        most_pixels = max(height * width for height, width in sizes_of_batches(views.recipe))
        # The pictures that the audit cached for crops are of no use in this process.
        shown = {(path, views.side) for path in views.paths}
        views.image_cache.drop(lambda key: key in shown)
        # Started before the first epoch, so that they import while the step is compiled.
        share = with_share_of_cache(views, count)
        self._processes = [ViewProcess(share, most_images * most_pixels * 3) for _ in range(count)]
        finalize(self, _close_all, self._processes)

    @contextmanager
    def started(self) -> Iterator[Submit]:
        """Within, batches can be submitted."""
        count = len(self._processes)
        with ExitStack() as stack:
            threads = [
                (process, stack.enter_context(ThreadPoolExecutor(1, "pplcnet-batch")))
                for process in self._processes
            ]

            def submit(batch: UnfinishedBatch, finish: Callable[[UnfinishedBatch], Any]) -> Any:
                parts = [np.flatnonzero(batch.members % count == at) for at in range(count)]
                return [
                    thread.submit(_fill_by, process, batch, part.tolist(), finish)
                    for (process, thread), part in zip(threads, parts, strict=True)
                    if len(part)
                ]

            yield submit


def _fill_by(
    process: ViewProcess,
    batch: UnfinishedBatch,
    places: list[int],
    finish: Callable[[UnfinishedBatch], Finished],
) -> Finished | None:
    asked = [batch.ask(at) for at in places]
    images, targets = process.show(asked, epoch=batch.epoch, size=batch.size)
    batch.images[places], batch.targets[places] = images, targets
    return finish(batch) if batch.is_complete_with(len(places)) else None


def _close_all(processes: Iterable[ViewProcess]) -> None:
    processes = list(processes)
    for each in processes:
        each.hang_up()
    for each in processes:
        each.wait()
