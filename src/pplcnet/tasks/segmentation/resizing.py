"""Bilinear resizing of logits in numpy; `models.resizing.resize` does the same in Keras."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Blend", "blend_to", "resize"]

Array = NDArray[np.float32]


class Blend(NamedTuple):
    """The two source pixels of each new one: `(1 - share) * low + share * high`."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    share: Array


def blend_to(length: int, places: NDArray[np.float64]) -> Blend:
    """The blend for a side of `length` pixels at places between -0.5 and length - 0.5.

    Pixel i is at i; places outside take the border pixel.
    """
    inside = places.clip(0, length - 1)
    low = np.minimum(inside.astype(np.intp), max(0, length - 2))
    high = np.minimum(low + 1, length - 1)
    return Blend(low, high, (inside - low).astype(np.float32))


def resize(features: Array, size: tuple[int, int]) -> Array:
    """Resize (h, w, C) float32 bilinearly to (H, W, C), without aligned corners or smoothing."""
    for axis in (0, 1):
        length, wanted = features.shape[axis], size[axis]
        if length == wanted:
            continue
        blend = blend_to(length, (np.arange(wanted) + 0.5) * (length / wanted) - 0.5)
        share = blend.share.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        low = features.take(blend.low, axis)
        features = low + (features.take(blend.high, axis) - low) * share
    return features
