"""A model that answers requests, and the state of a version of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pplcnet.serving.statistics import Statistics

__all__ = ["LOADING", "READY", "UNAVAILABLE", "Entry", "Served"]

READY, LOADING, UNAVAILABLE = "READY", "LOADING", "UNAVAILABLE"


@dataclass(eq=False)
class Served:
    """A network loaded in every worker. A `with` block counts a request that uses it."""

    name: str
    version: str
    serial: int
    """Its id in the workers."""
    facts: dict[str, Any]
    """As returned by `LoadedModel.describe`."""
    statistics: Statistics
    pending: int = 0
    """Requests in progress."""
    _is_retired: bool = False
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def classes(self) -> list[str]:
        """The class names."""
        classes: list[str] = self.facts["classes"]
        return classes

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        height, width = self.facts["image_size"]
        return height, width

    @property
    def outputs(self) -> dict[str, tuple[str, list[int]]]:
        """Outputs computed by default: name to NumPy dtype and shape for one photo."""
        outputs: dict[str, tuple[str, list[int]]] = self.facts["outputs"]
        return outputs

    @property
    def all_outputs(self) -> dict[str, tuple[str, list[int]]]:
        """The default outputs, and those computed only on request."""
        return {**self.outputs, **self.facts["other_outputs"]}

    def __enter__(self) -> Served:
        self.pending += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.pending -= 1
        if self._is_retired and not self.pending:
            self._idle.set()

    async def retire(self) -> None:
        """Take no new requests; wait until the last one has ended."""
        self._is_retired = True
        if self.pending:
            await self._idle.wait()


@dataclass(eq=False)
class Entry:
    """A version of a model and its state."""

    name: str
    version: str
    state: str = UNAVAILABLE
    reason: str = ""
    """Why it is not served, or why the files that are there now are not."""
    fingerprint: tuple[int, ...] = ()
    """Of the bundle last loaded, or last tried."""
    served: Served | None = None
