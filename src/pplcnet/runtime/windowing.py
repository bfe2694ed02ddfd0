"""Windows over large photos: their sizes and their pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError
from pplcnet.imaging.bands import MOST_PIXELS
from pplcnet.imaging.windows import Window, sides_of, stride_of
from pplcnet.system.arguments import check_count

__all__ = ["Windows", "cut_windows", "windows_of"]


@dataclass(frozen=True, slots=True)
class Windows:
    """How to cut a photo into windows, in its own pixels."""

    size: tuple[int, int]
    """(height, width) of a window."""
    stride: tuple[int, int]
    """(down, to the right) from one window to the next."""
    most_pixels: int = MOST_PIXELS
    """Largest number of pixels of a photo."""


def windows_of(
    window: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    most_pixels: int | None = None,
) -> Windows:
    """Windows with sides of `window` pixels, or (height, width).

    Args:
        stride: from one window to the next, one number or (down, to the right); None for three
            quarters of a window.
        most_pixels: largest number of pixels of a photo; None for MOST_PIXELS.

    Raises:
        InputError: sides that are not from 32 to 16384 pixels, or a stride that is not from 1 to
            the window's sides.
    """
    height, width = size = sides_of(window, "window")
    down, right = stride_of(size) if stride is None else sides_of(stride, "stride", least=1)
    if down > height or right > width:
        raise InputError(
            f"a stride of {down}x{right} for windows of {height}x{width}; it must be at least 1 "
            "and at most as large as the window."
        )
    most = MOST_PIXELS if most_pixels is None else most_pixels
    check_count(most, "most_pixels", least=1)
    return Windows(size, (down, right), int(most))


def cut_windows(
    parts: Iterable[NDArray[np.uint8]], places: Iterable[Window]
) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels (h, w, 3) of windows in row-major order, from bands of an image's rows."""
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
