"""Logits of a segmenter to a class for each pixel of the photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.masks import IGNORED
from pplcnet.imaging.geometry import Geometry

__all__ = ["class_map", "places_of"]

STRIP_PIXELS = 1 << 16
"""Pixels of the photo that are computed at a time: what they take fits a cache."""


def places_of(
    length: int, geometry: Geometry, axis: int, cells: int, pixels: int
) -> NDArray[np.float64]:
    """Where the centres of a photo's pixels lie among the cells of the logits, cell i at i.

    Args:
        length: pixels of the photo along the axis, 0 for x and 1 for y.
        cells: of the logits along it.
        pixels: of the network's input along it.
    """
    inside = (np.arange(length) + 0.5) * geometry.scale[axis] + geometry.offset[axis]
    return np.asarray(inside * (cells / pixels) - 0.5)


def class_map(
    logits: NDArray[np.float32], geometry: Geometry, input_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The class of each pixel of the upright photo: logits bilinearly at its centre, then argmax.

    Args:
        logits: (h, w, C) at the head's own resolution.
        geometry: from the photo to the network's input.
        input_size: (height, width) of the input.

    Returns:
        (H, W) uint8 class indices; IGNORED where the input does not show the photo.
    """
    width, height = geometry.size
    across = places_of(width, geometry, 0, logits.shape[1], input_size[1])
    down = places_of(height, geometry, 1, logits.shape[0], input_size[0])
    left, right, across_share = _blend(across, logits.shape[1])
    found = np.empty((height, width), np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        low, high, share = _blend(down[top : top + rows], logits.shape[0])
        upper = logits[low]
        strip = upper + (logits[high] - upper) * share[:, None, None]
        before = strip[:, left]
        strip = before + (strip[:, right] - before) * across_share[None, :, None]
        found[top : top + rows] = strip.argmax(axis=2)
    found[_is_outside(down, logits.shape[0])] = IGNORED
    found[:, _is_outside(across, logits.shape[1])] = IGNORED
    return found


def _blend(
    places: NDArray[np.float64], cells: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The two cells that each place lies between, and the share of the second."""
    inside = places.clip(0, cells - 1)
    low = np.minimum(inside.astype(np.intp), max(0, cells - 2))
    return low, np.minimum(low + 1, cells - 1), (inside - low).astype(np.float32)


def _is_outside(places: NDArray[np.float64], cells: int) -> NDArray[np.bool_]:
    return np.asarray((places < -0.5) | (places > cells - 0.5))
