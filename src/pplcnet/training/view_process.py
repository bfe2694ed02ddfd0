"""A separate process that makes views of training images, and both ends of its protocol.

It gets requests through a pipe and writes pixels to shared memory (Linux' memfd, which has no size
limit, unlike /dev/shm in containers). It ends when its pipe closes, however the other end died.
"""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import PPLCNetError
from pplcnet.system.allocator import keep_freed_memory
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.views import Views

__all__ = ["Ask", "ViewProcess", "serve", "with_share_of_cache"]

Ask = tuple[int, Any, int]
"""An image's index, its target, and its place among all images of the epoch."""

ENDS_WITHIN = 5.0
"""Seconds that a process has to end after its pipe was closed, before it is killed."""


def with_share_of_cache(views: Views, processes: int) -> tuple[Any, ...]:
    """The arguments of `Views` in each of several processes, which share the recipe's cache."""
    recipe = replace(
        views.recipe,
        cache_gigabytes=views.recipe.cache_gigabytes / processes,
        disk_cache_gigabytes=views.recipe.disk_cache_gigabytes / processes,
    )
    return list(views.paths), views.view, recipe, views.side, views.read_target


class ViewProcess:
    """A process that makes views of images, for one thread at a time."""

    def __init__(self, made_of: tuple[Any, ...], most_bytes: int) -> None:
        """Start it.

        Args:
            made_of: as `with_share_of_cache` returns it.
            most_bytes: the largest size of one answer's pixels.
        """
        memory = os.memfd_create("pplcnet-views")
        os.ftruncate(memory, most_bytes)
        questions, ask = os.pipe()
        answer, answers = os.pipe()
        # With this process's module search path, not the current folder's.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from pplcnet.training.view_process import serve; "
            f"serve({questions}, {answers}, {memory})"
        )
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(questions, answers, memory),
                process_group=0,  # a terminal's Ctrl-C is for this process alone
            )
            self._memory = mmap.mmap(memory, most_bytes)
        finally:
            for each in (questions, answers, memory):
                os.close(each)
        self._ask = Connection(ask, readable=False)
        self._answer = Connection(answer, writable=False)
        self._made_of: tuple[Any, ...] | None = made_of

    def show(
        self, asked: Sequence[Ask], *, epoch: int, size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], list[NDArray[Any]]]:
        """Images (N, height, width, 3), which the next call overwrites, and their targets.

        Raises:
            ImageError: one of them cannot be read.
            PPLCNetError: the process was killed.
        """
        try:
            if self._made_of is not None:
                self._ask.send(self._made_of)
                self._made_of = None
            self._ask.send((epoch, size, list(asked)))
            answer = self._answer.recv()
        except (EOFError, OSError) as error:
            raise PPLCNetError(
                "a process that prepares images was killed, perhaps for lack of memory; continue "
                "with fewer workers, or without worker_processes."
            ) from error
        if isinstance(answer, Exception):
            raise answer
        shape = (len(asked), *size, 3)
        pixels = np.frombuffer(self._memory, np.uint8, int(np.prod(shape))).reshape(shape)
        return pixels, answer

    def hang_up(self) -> None:
        """Let it end once it has finished the current request."""
        self._ask.close()

    def wait(self) -> None:
        """Wait until it has ended, after `hang_up`."""
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answer.close()


def serve(questions: int, answers: int, memory: int) -> None:
    """The other end of `ViewProcess`: answer requests until the pipe closes.

    The arguments are file descriptors.
    """
    # Signals that stop a run are handled by its main process, which then closes the pipe.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    keep_freed_memory()
    asked, answer = Connection(questions, writable=False), Connection(answers, readable=False)
    try:
        paths, view, recipe, side, read_target = asked.recv()
        with mmap.mmap(memory, os.fstat(memory).st_size) as pixels, ImageCache.of(recipe) as kept:
            views = Views(paths, view, recipe, side, kept, read_target=read_target)
            while True:
                answer.send(_answered(views, pixels, *asked.recv()))
    except (EOFError, BrokenPipeError):
        pass


def _answered(
    views: Views, memory: mmap.mmap, epoch: int, size: tuple[int, int], asked: list[Ask]
) -> Any:
    """Write the images' pixels to the memory; returns their targets, or the error."""
    length, targets = size[0] * size[1] * 3, []
    try:
        for at, (member, target, place) in enumerate(asked):
            image, target = views.show(member, target, epoch=epoch, size=size, place=place)
            memory[at * length : (at + 1) * length] = np.ascontiguousarray(image).data.cast("B")
            targets.append(target)
    except PPLCNetError as error:
        return error
    except Exception:  # noqa: BLE001
        return RuntimeError(f"in a process that prepares images:\n{traceback.format_exc()}")
    return targets
