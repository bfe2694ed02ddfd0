"""The class of each pixel of a large image, from the logits of overlapping windows.

The logits of the windows that cover a pixel are averaged. They are upsampled only where needed, a
part at a time, and windows above the finished part are released: memory holds the class map and the
small logits of two rows of windows, however large the image is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.windows import Window
from pplcnet.tasks.segmentation.class_maps import logits_at

__all__ = ["class_map_of_windows", "mean_logits", "parts_of"]

STRIP_NUMBERS = 1 << 18
"""The number of logits computed at a time: they fit a core's cache."""
Answered = tuple[Window, NDArray[np.float32], Geometry]
"""A window, its logits (h, w, C), and how its pixels map to the network's input."""


def class_map_of_windows(
    size: tuple[int, int], answers: Iterable[Answered], input_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The class of each pixel: the largest of the averaged logits.

    Args:
        size: (height, width) of the image.
        answers: those of the windows from `windows_over`, in their order.
        input_size: (height, width) of the network's input.

    Returns:
        (height, width) uint8.
    """
    found = np.empty(size, np.uint8)
    for rows, columns, covering in parts_of(answers):
        found[rows.start : rows.stop, columns.start : columns.stop] = mean_logits(
            covering, rows, columns, input_size
        ).argmax(axis=2)
    return found


def mean_logits(
    covering: Sequence[Answered], rows: range, columns: range, input_size: tuple[int, int]
) -> NDArray[np.float32]:
    """The mean logits (rows, columns, C) of pixels that all of these windows cover."""
    parts = [
        logits_at(
            logits,
            geometry,
            input_size,
            range(rows.start - window.top, rows.stop - window.top),
            range(columns.start - window.left, columns.stop - window.left),
        )
        for window, logits, geometry in covering
    ]
    total = parts[0]
    for each in parts[1:]:
        total += each
    return total / np.float32(len(parts))


def parts_of(answers: Iterable[Answered]) -> Iterator[tuple[range, range, list[Answered]]]:
    """Parts of the image from top to bottom, each with the windows that cover all of it."""
    waiting: list[Answered] = []
    done = 0
    for answer in answers:
        top = answer[0].top
        if waiting and top > waiting[-1][0].top:  # the first of a new row
            yield from _between(waiting, done, top)
            done = top
            waiting = [each for each in waiting if each[0].bottom > done]
        waiting.append(answer)
    if waiting:
        yield from _between(waiting, done, waiting[-1][0].bottom)


def _between(
    waiting: Sequence[Answered], first: int, end: int
) -> Iterator[tuple[range, range, list[Answered]]]:
    windows = [each[0] for each in waiting]
    edges = {first, end, *(window.bottom for window in windows if first < window.bottom < end)}
    edges |= {window.top for window in windows if first < window.top < end}
    sides = sorted({side for window in windows for side in (window.left, window.right)})
    classes = waiting[0][1].shape[2]
    for top, bottom in pairwise(sorted(edges)):
        for left, right in pairwise(sides):
            covering = [
                each
                for each in waiting
                if each[0].left <= left
                and each[0].right >= right
                and each[0].top <= top
                and each[0].bottom >= bottom
            ]
            height = max(1, STRIP_NUMBERS // ((right - left) * classes))
            for at in range(top, bottom, height):
                yield range(at, min(at + height, bottom)), range(left, right), covering
