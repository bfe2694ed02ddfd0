"""An image that is there a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_PIXELS", "Bands"]

MOST_PIXELS = 300_000_000
"""Of an image in bands, if nothing else is asked for: a JPEG of that size takes a gigabyte."""


class Bands(NamedTuple):
    """An upright image, some rows at a time."""

    size: tuple[int, int]
    """(width, height) in pixels."""
    parts: Iterator[NDArray[np.uint8]]
    """(rows, width, 3) RGB each, from the top on. An error of the file may come with any of them:
    an ImageError."""
