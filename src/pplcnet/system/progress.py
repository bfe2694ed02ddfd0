"""Progress of long work; the caller decides what to show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

__all__ = ["Busy", "Watcher", "no_sign"]

Item = TypeVar("Item")
Busy = Callable[[str], AbstractContextManager[None]]
"""Takes a description of the work; a spinner may be shown within the context that it returns."""


def no_sign(text: str) -> AbstractContextManager[None]:
    """A `Busy` that shows nothing."""
    return nullcontext()


class Watcher:
    """Progress callbacks that show nothing; the command line draws bars and spinners instead."""

    def say(self, line: str) -> None:
        """Report one line about what was done."""

    def watch(self, items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
        """The same items, which may be counted as they pass."""
        return items

    def busy(self, text: str) -> AbstractContextManager[None]:
        """A context for work that cannot be counted, such as `text` = "loading Keras"."""
        return nullcontext()
