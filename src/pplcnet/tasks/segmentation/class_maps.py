"""Turns a segmenter's logits into a class for each pixel of the photo.

Upsampling the logits of every class costs more than a light network. Each pixel's logits are a
weighted mean of those of the four cells around it, so if these cells have the same winner, no other
class can win. Hence only the pixels between cells that disagree are computed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.masks import IGNORED
from pplcnet.imaging.geometry import Geometry
from pplcnet.tasks.segmentation.resizing import Blend, blend_to

__all__ = ["class_map", "logits_at", "logits_of_rows", "places_of"]

STRIP_NUMBERS = 1 << 18
"""The number of logits computed at a time: they fit a core's cache."""
ROUNDING = 1e-5
"""How much rounding may change a weighted mean, relative to the largest logit; 50 times what it
does."""


class _Axis(NamedTuple):
    """How one side of the photo maps to the cells of the logits."""

    blend: Blend
    """The blend for each pixel."""
    starts: NDArray[np.intp]
    """The first pixel between each cell and the next, followed by the number of pixels."""
    outside: NDArray[np.bool_]
    """Pixels outside the network's input."""


def places_of(
    length: int, geometry: Geometry, axis: int, cells: int, pixels: int
) -> NDArray[np.float64]:
    """Where the centres of a photo's pixels lie on the grid of the logits, with cell i at i.

    Args:
        length: pixels of the photo along the axis, which is 0 for x and 1 for y.
        cells: cells of the logits along the axis.
        pixels: pixels of the network's input along the axis.
    """
    inside = (np.arange(length) + 0.5) * geometry.scale[axis] + geometry.offset[axis]
    return np.asarray(inside * (cells / pixels) - 0.5)


def class_map(
    logits: NDArray[np.float32], geometry: Geometry, input_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The class of each pixel of the upright photo: argmax of the bilinearly upsampled logits.

    Args:
        logits: (h, w, C) at the head's own resolution.
        geometry: maps the photo to the network's input.
        input_size: (height, width) of the input.

    Returns:
        (H, W) uint8 class indices; IGNORED where the photo is outside the input.
    """
    across, down = _axes(logits, geometry, input_size)
    winners, is_sure = _between_cells(logits)
    # Stretch each square between cells to as many columns, then rows, as it has pixels.
    rows = np.repeat(winners, np.diff(across.starts), axis=1)
    found = np.repeat(rows, np.diff(down.starts), axis=0)
    for at in np.flatnonzero(~is_sure.all(axis=1)).tolist():
        chosen = np.repeat(~is_sure[at], np.diff(across.starts))
        _compute(found, logits, np.flatnonzero(chosen), at, across, down)
    found[down.outside] = IGNORED
    found[:, across.outside] = IGNORED
    return found


def _between_cells(logits: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """For each square between four cells: the winner of the first, and whether it wins in all."""
    answers = logits.argmax(axis=2).astype(np.uint8)
    is_clear = np.ones(answers.shape, np.bool_)
    if logits.shape[2] > 1:
        best = np.partition(logits, -2, axis=2)[..., -2:]
        least = ROUNDING * max(float(np.abs(best).max()), float(np.abs(logits).max()))
        is_clear = best[..., 1] - best[..., 0] > least
    low_y, low_x = (np.arange(max(1, cells - 1)) for cells in answers.shape)
    high_y, high_x = (
        np.minimum(low + 1, cells - 1)
        for low, cells in zip((low_y, low_x), answers.shape, strict=True)
    )
    winners = answers[low_y][:, low_x]
    is_sure = np.ones(winners.shape, np.bool_)
    for y, x in ((low_y, low_x), (low_y, high_x), (high_y, low_x), (high_y, high_x)):
        is_sure &= is_clear[y][:, x] & (answers[y][:, x] == winners)
    return winners, is_sure


def _compute(
    found: NDArray[np.uint8],
    logits: NDArray[np.float32],
    columns: NDArray[np.intp],
    square: int,
    across: _Axis,
    down: _Axis,
) -> None:
    """Set the classes of some columns of pixels between one row of cells and the next."""
    left, right, share = (each[columns] for each in across.blend)
    top, end = down.starts[square : square + 2].tolist()
    if top == end:
        return
    cells = logits.shape[0]
    upper, lower = (
        cell[left] + (cell[right] - cell[left]) * share[:, None]
        for cell in (logits[square], logits[min(square + 1, cells - 1)])
    )
    step = lower - upper
    height = max(1, STRIP_NUMBERS // max(1, upper.size))
    for first in range(top, end, height):
        rows = slice(first, min(first + height, end))
        strip = upper + step * down.blend.share[rows, None, None]
        found[rows, columns] = strip.argmax(axis=2)


def logits_of_rows(
    logits: NDArray[np.float32], geometry: Geometry, input_size: tuple[int, int], rows: range
) -> NDArray[np.float32]:
    """The logits (rows, W, C) of rows of the upright photo; other arguments as for `class_map`."""
    return logits_at(logits, geometry, input_size, rows, range(geometry.size[0]))


def logits_at(
    logits: NDArray[np.float32],
    geometry: Geometry,
    input_size: tuple[int, int],
    rows: range,
    columns: range,
) -> NDArray[np.float32]:
    """The logits (rows, columns, C) of a part of the photo; other arguments as for `class_map`."""
    across, down = (
        Blend(low[part], high[part], share[part])
        for ((low, high, share), _, _), part in zip(
            _axes(logits, geometry, input_size),
            (slice(columns.start, columns.stop), slice(rows.start, rows.stop)),
            strict=True,
        )
    )
    # Vertically first: cells are fewer than pixels, which makes the first step the cheaper one.
    first, last = int(across.low[0]), int(across.high[-1])
    cells = logits[:, first : last + 1]
    strip = cells[down.low]
    strip += (cells[down.high] - strip) * down.share[:, None, None]
    before = strip[:, across.low - first]
    before += (strip[:, across.high - first] - before) * across.share[None, :, None]
    return before


def _axes(
    logits: NDArray[np.float32], geometry: Geometry, input_size: tuple[int, int]
) -> tuple[_Axis, _Axis]:
    """The horizontal and the vertical axis."""
    found = []
    for axis, length in enumerate(geometry.size):
        cells = logits.shape[1 - axis]
        places = places_of(length, geometry, axis, cells, input_size[1 - axis])
        blend = blend_to(cells, places)
        starts = np.searchsorted(blend.low, np.arange(max(1, cells - 1) + 1))
        starts[-1] = length
        outside = (places < -0.5) | (places > cells - 0.5)
        found.append(_Axis(blend, starts, outside))
    return found[0], found[1]
