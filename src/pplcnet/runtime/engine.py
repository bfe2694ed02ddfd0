"""The engine protocol: what every inference engine offers to the classifier."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Engine"]


class Engine(Protocol):
    """One loaded network. Safe to call from several threads at once."""

    @property
    def batch_size(self) -> int | None:
        """Images that one run takes; None when any number is fine."""
        ...

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, height, width, 3) uint8 RGB to logits (N, classes) float32."""
        ...
