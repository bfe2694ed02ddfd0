"""Windows over large photos: which there may be, and their pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError
from pplcnet.imaging.bands import MOST_PIXELS
from pplcnet.imaging.windows import Window

__all__ = ["MAX_WINDOWS", "Windows", "cut_windows", "windows_of"]

OVERLAP = 0.25
MIN_SIDE, MAX_SIDE, MAX_WINDOWS = 32, 16_384, 20_000


@dataclass(frozen=True, slots=True)
class Windows:
    """How a photo is cut, in its own pixels."""

    size: tuple[int, int]
    """(height, width) of a window."""
    stride: tuple[int, int]
    """(down, to the right) from one window to the next."""
    most_pixels: int = MOST_PIXELS
    """That a photo may have."""


def windows_of(
    window: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    most_pixels: int | None = None,
) -> Windows:
    """Windows of a side, or of (height, width).

    Args:
        stride: from one window to the next, one number or (down, to the right); None for three
            quarters of a window.
        most_pixels: that a photo may have; None for MOST_PIXELS.

    Raises:
        InputError: a side from 32 to 16384 pixels, or a stride from 1 to the window's side, is
            missing.
    """
    height, width = _pair(window, "window")
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in (height, width)):
        raise InputError(
            f"windows of {height}x{width}; each side must be from {MIN_SIDE} to {MAX_SIDE} pixels "
            "of the photo."
        )
    if stride is None:
        down, right = (max(1, round(side * (1 - OVERLAP))) for side in (height, width))
    else:
        down, right = _pair(stride, "stride")
    if not (1 <= down <= height and 1 <= right <= width):
        raise InputError(
            f"a stride of {down}x{right} for windows of {height}x{width}; it must be at least 1 "
            "and at most as large as the window."
        )
    most = MOST_PIXELS if most_pixels is None else most_pixels
    if not _is_whole(most) or most < 1:
        raise InputError(f"most_pixels is {most!r}; it must be a whole number of at least 1.")
    return Windows((height, width), (down, right), int(most))


def _pair(given: Any, name: str) -> tuple[int, int]:
    sides = given if isinstance(given, Sequence) and not isinstance(given, str) else (given, given)
    if len(sides) != 2 or not all(map(_is_whole, sides)):
        raise InputError(f"{name} is {given!r}; it must be a number of pixels, or (height, width).")
    return int(sides[0]), int(sides[1])


def _is_whole(given: object) -> bool:
    return isinstance(given, int | np.integer) and not isinstance(given, bool)


def cut_windows(
    parts: Iterable[NDArray[np.uint8]], places: Iterable[Window]
) -> Iterator[NDArray[np.uint8]]:
    """The pixels (h, w, 3) of windows, which come row by row, from parts of an image's rows."""
    waiting = iter(parts)
    kept: deque[tuple[int, NDArray[np.uint8]]] = deque()
    bottom = 0
    for left, top, right, end in places:
        while kept and kept[0][0] + len(kept[0][1]) <= top:
            kept.popleft()
        while bottom < end:
            part = next(waiting)
            kept.append((bottom, part))
            bottom += len(part)
        rows = [part[max(0, top - at) : end - at, left:right] for at, part in kept if at < end]
        yield np.concatenate(rows) if len(rows) > 1 else rows[0]
