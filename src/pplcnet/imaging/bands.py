"""An image that is delivered a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_PIXELS", "Bands"]

MOST_PIXELS = 300_000_000
"""The default limit for an image in bands: a JPEG of that size takes a gigabyte."""


class Bands(NamedTuple):
    """An upright image, delivered some rows at a time."""

    size: tuple[int, int]
    """(width, height) in pixels."""
    parts: Iterator[NDArray[np.uint8]]
    """(rows, width, 3) RGB each, from top to bottom. Reading any of them can raise an ImageError
    for a fault in the file."""
