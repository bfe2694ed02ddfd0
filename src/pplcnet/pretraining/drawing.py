"""Draws the pictures of all classes of a formula in parts, to bound memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_in_parts"]

AT_ONCE = 64


def draw_in_parts(
    classes: int,
    pictures: int,
    side: int,
    draw: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """Pictures (classes, pictures, side, side).

    Args:
        pictures: number of pictures per class.
        draw: from the classes (N,) of some pictures to the pictures (N, side, side); called in
            order.
    """
    owner = np.repeat(np.arange(classes), pictures)
    drawn = np.empty((len(owner), side, side), np.uint8)
    for start in range(0, len(owner), AT_ONCE):
        drawn[start : start + AT_ONCE] = draw(owner[start : start + AT_ONCE])
    return drawn.reshape(classes, pictures, side, side)
