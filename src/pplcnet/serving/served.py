"""A model that answers, and the state of a version of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pplcnet.serving.statistics import Statistics

__all__ = ["LOADING", "READY", "UNAVAILABLE", "Entry", "Served"]

READY, LOADING, UNAVAILABLE = "READY", "LOADING", "UNAVAILABLE"


@dataclass(eq=False)
class Served:
    """A network that every worker has. Within a `with` block, a request is under way with it."""

    name: str
    version: str
    serial: int
    """What the workers know it by."""
    facts: dict[str, Any]
    """As `LoadedModel.describe` has them."""
    statistics: Statistics
    pending: int = 0
    """Requests under way."""
    _is_retired: bool = False
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def classes(self) -> list[str]:
        """The class names."""
        classes: list[str] = self.facts["classes"]
        return classes

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) that the network takes."""
        height, width = self.facts["image_size"]
        return height, width

    @property
    def outputs(self) -> dict[str, tuple[str, list[int]]]:
        """What is computed unless others are named: numpy's type and the shape for one photo."""
        outputs: dict[str, tuple[str, list[int]]] = self.facts["outputs"]
        return outputs

    @property
    def all_outputs(self) -> dict[str, tuple[str, list[int]]]:
        """Those, and what is computed only where it is asked for."""
        return {**self.outputs, **self.facts["other_outputs"]}

    def __enter__(self) -> Served:
        self.pending += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.pending -= 1
        if self._is_retired and not self.pending:
            self._idle.set()

    async def retire(self) -> None:
        """No new request gets it; wait until the last one has ended."""
        self._is_retired = True
        if self.pending:
            await self._idle.wait()


@dataclass(eq=False)
class Entry:
    """A version of a model."""

    name: str
    version: str
    state: str = UNAVAILABLE
    reason: str = ""
    """Why it is not served, or why what is there now is not."""
    fingerprint: tuple[int, ...] = ()
    """Of the bundle that was loaded last, or failed to load."""
    served: Served | None = None
