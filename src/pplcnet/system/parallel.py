"""Process many images in threads, in order, with bounded memory."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pplcnet.system.processor import available_cores

__all__ = ["Room", "in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 16
"""Items in flight per thread: enough that no thread waits for a slow item ahead of its own."""
# A 150-megapixel image takes half of it.
ROOM_BYTES = 3_000_000_000
# Decoded, converted to RGB, and copied once more to make its digest.
BYTES_A_PIXEL = 10


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """As `map`, in threads; reads only a few items ahead.

    Args:
        workers: number of threads; None for one per core.
    """
    workers = workers or available_cores()
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= workers * AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()


class Room:
    """A limit on the decoded images that all threads hold together; a thread waits for room."""

    def __init__(self, limit: int = ROOM_BYTES) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def for_pixels(self, pixels: int) -> Iterator[None]:
        """Hold room for an image of this many pixels; one larger than the limit takes all of it."""
        wanted = min(pixels * BYTES_A_PIXEL, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._used + wanted <= self._limit)
            self._used += wanted
        try:
            yield
        finally:
            with self._changed:
                self._used -= wanted
                self._changed.notify_all()
