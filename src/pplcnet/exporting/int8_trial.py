"""The timing of a network in one precision, compared in the search for a quantisation scheme."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Trial"]


class Trial(NamedTuple):
    """One network in one precision, timed; INT8's accuracy is measured only where it is fast."""

    way: str
    """The quantisation scheme; "" for the network as exported."""
    precision: str
    median_ms: float | None = None
    """Latency of one image at a time, with the best number of threads."""
    images_per_second: float | None = None
    """Throughput with one thread per core."""
    accuracy: float | None = None
    """The task's measure."""
    verdict: str = ""

    @property
    def cost(self) -> float:
        """Latency over throughput, so both count equally, as in `tune`."""
        if self.median_ms is None or not self.images_per_second:
            return math.inf
        return self.median_ms / self.images_per_second

    def __str__(self) -> str:
        name = f"{self.precision}, {self.way}" if self.way else self.precision
        return name if self.median_ms is None else f"{name} ({self.median_ms:.2f} ms)"
