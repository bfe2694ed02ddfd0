"""Resizing as in OpenCV, without antialiasing: bilinear and bicubic.

OpenCV does it if it is installed; otherwise Pillow and numpy do, equal to within one level.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.imaging.acceleration import MAX_ARRAY_PIXELS, optional_module
from pplcnet.imaging.decoding import DecodedImage, as_image, size_of
from pplcnet.imaging.orientation import Box

__all__ = ["Cut", "Resized", "resize_as_opencv", "resize_roughly"]

# OpenCV resizes the whole image: 48 MB at this size, but gigabytes for an image one pixel high.
MAX_SCALED_PIXELS = 16_000_000
# The parameter of OpenCV's bicubic filter (Keys 1981); Pillow's is -0.5.
SHARPNESS = -0.75
ROWS_AT_ONCE = 16


class Cut(NamedTuple):
    """How an image is scaled and cropped; sizes are (width, height)."""

    scaled: tuple[int, int]
    """The size that the whole image is scaled to."""
    filled: tuple[int, int]
    """The size of the part of the network's input that it fills."""
    left: int
    """Where that part starts in the scaled image."""
    top: int
    box: Box
    """The same part in the image before scaling: left, top, right, bottom. Resizing just that part
    gives the same pixels as resizing everything and cropping, without the margins."""


class Resized(NamedTuple):
    """Pixels, and the box of the decoded image that they show."""

    pixels: NDArray[np.uint8]
    box: Box


def resize_as_opencv(decoded: DecodedImage, cut: Cut, *, is_cubic: bool) -> Resized:
    """The part of an upright RGB image given by `cut`, by INTER_LINEAR or INTER_CUBIC."""
    across, down = size_of(decoded)
    # OpenCV takes arrays; for a large PIL image, that would be a second copy.
    opencv = optional_module("cv2") if across * down <= MAX_ARRAY_PIXELS else None
    width, height = cut.filled
    if opencv is None or math.prod(cut.scaled) > MAX_SCALED_PIXELS:
        return Resized((_cubic if is_cubic else _linear)(as_image(decoded), cut), cut.box)
    filter_ = opencv.INTER_CUBIC if is_cubic else opencv.INTER_LINEAR
    pixels = opencv.resize(np.asarray(decoded), cut.scaled, interpolation=filter_)
    pixels = pixels[cut.top : cut.top + height, cut.left : cut.left + width]
    return Resized(np.ascontiguousarray(pixels), cut.box)


def resize_roughly(decoded: DecodedImage, cut: Cut) -> Resized:
    """The part given by `cut`, rounded to whole pixels of the image; computes nothing else."""
    across, down = size_of(decoded)
    opencv = optional_module("cv2") if across * down <= MAX_ARRAY_PIXELS else None
    if opencv is None:
        return Resized(_linear(as_image(decoded), cut), cut.box)
    x0, y0, x1, y1 = map(round, cut.box)
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    part = np.asarray(decoded)[y0:y1, x0:x1]
    return Resized(opencv.resize(part, cut.filled), (x0, y0, x1, y1))


def _linear(image: Image.Image, cut: Cut) -> NDArray[np.uint8]:
    left, top, right, bottom = cut.box
    width, height = cut.filled
    # Unlike its resize, Pillow's transform uses only the four nearest pixels.
    affine = ((right - left) / width, 0, left, 0, (bottom - top) / height, top)
    transformed = image.transform(
        cut.filled, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )
    return np.asarray(transformed)


def _cubic(image: Image.Image, cut: Cut) -> NDArray[np.uint8]:
    """Bicubic over the sixteen nearest pixels, a few rows at a time: the image may be large."""
    columns, across = _taps(image.width, cut.scaled[0], cut.left, cut.filled[0])
    rows, down = _taps(image.height, cut.scaled[1], cut.top, cut.filled[1])
    result = np.empty((cut.filled[1], cut.filled[0], 3), np.uint8)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        needed = np.unique(rows[some])
        strips = [image.crop((0, row, image.width, row + 1)) for row in needed.tolist()]
        lines = np.concatenate([np.asarray(each) for each in strips])
        wide = np.einsum("hwtc,wt->hwc", lines[:, columns], across)
        places = np.searchsorted(needed, rows[some])
        high = np.einsum("htwc,ht->hwc", wide[places], down[some])
        result[some] = np.rint(high).clip(0, 255)
    return result


def _taps(
    length: int, scaled: int, start: int, count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each of `count` pixels from `start` on: the four nearest of `length`, and their weights.

    Beyond the border, the last pixel is repeated. (count, 4) each.
    """
    centres = (np.arange(start, start + count) + 0.5) * (length / scaled) - 0.5
    first = np.floor(centres)
    x, a = centres - first, SHARPNESS
    weights = np.stack([_outer(x + 1, a), _inner(x, a), _inner(1 - x, a), _outer(2 - x, a)], axis=1)
    places = first[:, np.newaxis].astype(np.intp) + np.arange(-1, 3)
    return places.clip(0, length - 1), weights


def _inner(x: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """The filter at distances of up to 1."""
    weights: NDArray[np.float64] = ((a + 2) * x - (a + 3)) * x * x + 1
    return weights


def _outer(x: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """The filter at distances from 1 to 2."""
    weights: NDArray[np.float64] = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return weights
