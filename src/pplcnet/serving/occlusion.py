"""Which parts of a photo an answer rests on: the network runs again with each of them covered.

Occlusion sensitivity of Zeiler and Fergus (2014), "Visualizing and Understanding Convolutional
Networks", section 4.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.geometry import Geometry

__all__ = ["GRID", "cover", "region_of"]

GRID = 7
"""Cells along each side."""
COVER = 2.0
"""Side of the patch, in cells: patches overlap, so that small objects are not missed."""


def cover(pixels: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    """Fill the patch around one cell of the grid with the image's mean colour.

    Args:
        pixels: (height, width, 3).

    Returns:
        A copy.
    """
    covered = pixels.copy()
    height, width = pixels.shape[:2]
    rows, columns = _span(row, height), _span(column, width)
    covered[rows, columns] = np.rint(pixels.mean(axis=(0, 1)))
    return covered


def _span(place: int, length: int) -> slice:
    middle, half = (place + 0.5) * length / GRID, COVER / 2 * length / GRID
    return slice(max(0, round(middle - half)), min(length, round(middle + half)))


def region_of(geometry: Geometry, image_size: tuple[int, int]) -> list[float]:
    """Where the network's input lies in the photo, as fractions of the photo's width and height.

    Args:
        image_size: (height, width) of the input.

    Returns:
        Left, top, right, bottom; outside 0 to 1 if the input was padded.
    """
    height, width = image_size
    corners = ((0, 0), (width, height))
    return [
        (corner[axis] - geometry.offset[axis]) / geometry.scale[axis] / geometry.size[axis]
        for corner in corners
        for axis in (0, 1)
    ]
