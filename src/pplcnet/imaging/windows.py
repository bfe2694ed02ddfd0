"""Overlapping windows that cover an image which is too large to be looked at as a whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import InputError
from pplcnet.imaging.decoding import DecodedImage

__all__ = ["Window", "as_array", "windows_over"]

ROWS_AT_ONCE = 256


class Window(NamedTuple):
    """A part of an image, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int
    """Right and bottom are the first pixels outside."""


def windows_over(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> list[Window]:
    """The windows that cover an image, row by row.

    They begin at multiples of the stride. The last of every row and column is moved back to end at
    the image's edge; a window that is larger than the image is as large as the image. Every pixel
    is in at least one of them.

    Args:
        size: (height, width) of the image in pixels.
        window: (height, width) of a window.
        stride: (down, to the right) from one window to the next, at most as large as the window.

    Raises:
        InputError: a stride is below 1 or larger than the window.
    """
    rows = _spans(size[0], window[0], stride[0])
    columns = _spans(size[1], window[1], stride[1])
    return [Window(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def _spans(length: int, window: int, stride: int) -> list[tuple[int, int]]:
    if not 1 <= stride <= window:
        raise InputError(
            f"windows of {window} pixels with a stride of {stride}; a stride must be at least 1 "
            "and at most as large as the window."
        )
    count = 1 + max(0, -(-(length - window) // stride))
    ends = [min(at * stride + window, length) for at in range(count)]
    return [(max(0, end - window), end) for end in ends]


def as_array(decoded: DecodedImage) -> NDArray[np.uint8]:
    """An upright RGB image as (H, W, 3) uint8, whose parts are views of it.

    Of a PIL image a copy, made in strips: Pillow itself would make two at a time.
    """
    if not isinstance(decoded, Image.Image):
        return decoded
    width, height = decoded.size
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, height)
        array[top:bottom] = np.asarray(decoded.crop((0, top, width, bottom)))
    return array
