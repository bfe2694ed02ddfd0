"""Overlapping windows that cover an image too large to be processed as a whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import InputError
from pplcnet.imaging.decoding import DecodedImage

__all__ = [
    "OVERLAP",
    "Window",
    "as_array",
    "sides_of",
    "stride_of",
    "windows_of_image",
    "windows_over",
]

OVERLAP = 0.25
"""The default overlap of neighbouring windows, as a fraction of their sides."""
MIN_SIDE, MAX_SIDE, MAX_WINDOWS = 32, 16_384, 20_000
MOST_OVERLAP = 0.9
ROWS_AT_ONCE = 256


class Window(NamedTuple):
    """A part of an image, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int
    """Right and bottom are the first pixels outside."""


def sides_of(given: object, name: str, least: int = MIN_SIDE) -> tuple[int, int]:
    """(height, width) in pixels, from one number or two.

    Args:
        name: what the number is, for the message.
        least: the smallest allowed side in pixels.

    Raises:
        InputError: `given` is something else, or a side is below `least` or above 16384.
    """
    sides = (given, given) if isinstance(given, int | np.integer) else given
    if not (
        isinstance(sides, tuple | list)
        and len(sides) == 2
        and all(isinstance(each, int | np.integer) for each in sides)
        and not any(isinstance(each, bool) for each in sides)
    ):
        raise InputError(f"{name} is {given!r}; it must be a number of pixels, or (height, width).")
    height, width = map(int, sides)
    if not all(least <= side <= MAX_SIDE for side in (height, width)):
        raise InputError(
            f"{name} of {height}x{width}; each side must be from {least} to {MAX_SIDE} pixels of "
            "the photo."
        )
    return height, width


def stride_of(window: tuple[int, int], overlap: float = OVERLAP) -> tuple[int, int]:
    """(down, to the right) from one window to the next, in pixels.

    Args:
        window: (height, width).
        overlap: that of neighbouring windows, as a fraction of their sides.

    Raises:
        InputError: the overlap is not from 0 to 0.9.
    """
    if (
        isinstance(overlap, bool)
        or not isinstance(overlap, int | float | np.number)
        or not 0 <= overlap <= MOST_OVERLAP
    ):
        raise InputError(f"an overlap of {overlap!r}; it must be from 0 to {MOST_OVERLAP}.")
    down, right = (max(1, round(side * (1 - float(overlap)))) for side in window)
    return down, right


def windows_of_image(
    size: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    source: str,
    *,
    noun: str = "windows",
) -> list[Window]:
    """The windows that cover an image, as by `windows_over`, if they are not too many.

    Args:
        size: (width, height) of the image.
        window: (height, width).
        stride: (down, to the right).
        source, noun: names of the image and of the windows, for the message.

    Raises:
        InputError: there are more than 20,000.
    """
    width, height = size
    found = _count(height, window[0], stride[0]) * _count(width, window[1], stride[1])
    if found > MAX_WINDOWS:
        raise InputError(
            f"{source}: {width}x{height} pixels have {found:,} {noun} of {window[1]}x{window[0]}; "
            f"at most {MAX_WINDOWS:,} are possible. Use larger ones, or less overlap."
        )
    return windows_over((height, width), window, stride)


def windows_over(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> list[Window]:
    """The windows that cover an image, row by row.

    They start at multiples of the stride. The last of every row and column is moved back to end at
    the image's edge; a window larger than the image gets the image's size. Every pixel is in at
    least one window.

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
    ends = [min(at * stride + window, length) for at in range(_count(length, window, stride))]
    return [(max(0, end - window), end) for end in ends]


def _count(length: int, window: int, stride: int) -> int:
    return 1 + max(0, -(-(length - window) // stride))


def as_array(decoded: DecodedImage) -> NDArray[np.uint8]:
    """An upright RGB image as (H, W, 3) uint8, whose parts are views of it.

    A PIL image is copied in strips: Pillow itself would make two copies at a time.
    """
    if not isinstance(decoded, Image.Image):
        return decoded
    width, height = decoded.size
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, height)
        array[top:bottom] = np.asarray(decoded.crop((0, top, width, bottom)))
    return array
