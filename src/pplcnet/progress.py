"""How long work tells the world how far it is; what to show is up to the caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

__all__ = ["Watcher"]

Item = TypeVar("Item")


class Watcher:
    """Told how work goes; this one listens in silence. The command line draws progress bars."""

    def say(self, line: str) -> None:
        """One line about what was done."""

    def watch(self, items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
        """The same items, while something may count them."""
        return items
