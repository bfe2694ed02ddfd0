"""Answer a stream of items in order from several threads, each as soon as it is ready."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from pplcnet.errors import InputError

__all__ = ["answer_in_order", "streams_of"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def streams_of(items: Iterable[Item], count: int) -> list[Iterator[Item]]:
    """The same items `count` times, for `count` threads, as `itertools.tee` does for one thread.

    Each item is read once and kept until every thread has it. Errors of `items` are raised in all.
    """
    source, lock = iter(items), threading.Lock()
    waiting: list[deque[Item]] = [deque() for _ in range(count)]
    errors: list[BaseException] = []

    def stream(own: deque[Item]) -> Iterator[Item]:
        while True:
            with lock:
                if not own:
                    if errors:
                        raise errors[0]
                    try:
                        item = next(source)
                    except StopIteration:
                        return
                    except BaseException as error:
                        errors.append(error)
                        raise
                    for each in waiting:
                        each.append(item)
                item = own.popleft()
            yield item

    return [stream(each) for each in waiting]


def answer_in_order(
    items: Iterable[Item],
    answer: Callable[[list[Item]], list[Answer]],
    *,
    workers: int,
    chunk: int,
    capacity: int,
) -> Iterator[Answer]:
    """Yield the answer to each item, in order; an error of `items` follows the answers before it.

    The items are read in a separate thread, so that a source which waits for the answer to its
    last item, such as a camera, cannot deadlock. Closing the generator ends all threads; one that
    is blocked by the source ends with the source's next item or with the process.

    Args:
        answer: called in worker threads with up to `chunk` items, as many as are waiting.
        workers: number of worker threads.
        capacity: largest number of items read but not yet answered.
    """
    work = _Work(iter(items), answer, workers=workers, chunk=chunk, capacity=capacity)
    threads = [
        threading.Thread(target=work.feed, name="pplcnet-predict-source", daemon=True),
        *(
            threading.Thread(target=work.serve, name=f"pplcnet-predict-{number}", daemon=True)
            for number in range(workers)
        ),
    ]
    process = os.getpid()
    try:
        for thread in threads:
            thread.start()
        while (found := work.next_answer()) is not None:
            yield found[0]
            if os.getpid() != process:
                raise InputError(
                    "this stream of predictions belongs to the process that started it; call "
                    "predict_many again in the forked one."
                )
    finally:
        # A forked process has none of the threads, and one of them may have held a lock.
        if os.getpid() == process:
            work.close()
            for thread in threads[1:]:
                if thread.ident is not None:
                    thread.join()


class _Work(Generic[Item, Answer]):
    """State shared by the threads; every field is guarded by `_changed`."""

    def __init__(
        self,
        items: Iterator[Item],
        answer: Callable[[list[Item]], list[Answer]],
        *,
        workers: int,
        chunk: int,
        capacity: int,
    ) -> None:
        self._items = items
        self._answer = answer
        self._workers = workers
        self._chunk = chunk
        self._capacity = capacity
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Item]] = deque()
        self._answers: dict[int, Answer] = {}
        self._read = 0
        self._given = 0
        self._is_read_out = False
        self._is_closed = False
        self._source_error: BaseException | None = None
        self._worker_error: BaseException | None = None

    def feed(self) -> None:
        """Read items while there is room for their answers."""
        try:
            while self._has_room():
                try:
                    item = next(self._items)
                except StopIteration:
                    return
                with self._changed:
                    self._waiting.append((self._read, item))
                    self._read += 1
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - handed on to the caller
            self._source_error = error
        finally:
            with self._changed:
                self._is_read_out = True
                self._changed.notify_all()

    def _has_room(self) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._read - self._given < self._capacity
            )
            return not self._is_closed

    def serve(self) -> None:
        """Answer items until there are no more."""
        try:
            while taken := self._take():
                answers = self._answer([item for _, item in taken])
                with self._changed:
                    self._answers.update(
                        (at, each) for (at, _), each in zip(taken, answers, strict=True)
                    )
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - handed on to the caller
            with self._changed:
                self._worker_error = error
                self._changed.notify_all()

    def _take(self) -> list[tuple[int, Item]]:
        """A fair share of the waiting items, at least one; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_read_out or self._is_closed)
            if self._is_closed:
                return []
            share = min(self._chunk, -(-len(self._waiting) // self._workers))
            return [self._waiting.popleft() for _ in range(share)]

    def next_answer(self) -> tuple[Answer] | None:
        """Wait for the next item's answer; None at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._given in self._answers
                    or self._worker_error is not None
                    or (self._is_read_out and self._given == self._read)
                )
            )
            if self._given in self._answers:
                found = self._answers.pop(self._given)
                self._given += 1
                self._changed.notify_all()
                return (found,)
        error = self._worker_error or self._source_error
        if error is not None:
            raise error
        return None

    def close(self) -> None:
        """Let every thread end after its current work."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
