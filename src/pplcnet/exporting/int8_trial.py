"""A network in one precision, timed: what the search for a way of quantising compares."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Trial"]


class Trial(NamedTuple):
    """One network in one precision, timed; INT8's accuracy is measured only where it is fast."""

    way: str
    """Of quantising; "" for the network as it was exported."""
    precision: str
    median_ms: float | None = None
    """One image at a time, with the best number of threads."""
    images_per_second: float | None = None
    """One thread per core."""
    accuracy: float | None = None
    """By the task's measure."""
    verdict: str = ""

    @property
    def cost(self) -> float:
        """Latency over throughput, so that both count alike; as `tune` ranks."""
        if self.median_ms is None or not self.images_per_second:
            return math.inf
        return self.median_ms / self.images_per_second

    def __str__(self) -> str:
        name = f"{self.precision}, {self.way}" if self.way else self.precision
        return name if self.median_ms is None else f"{name} ({self.median_ms:.2f} ms)"
