"""Random coloured views of drawn pictures on smooth backgrounds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.pretraining.pictures import Pictures

__all__ = ["Views", "draw_views"]

SHAPE_SCALES = (0.7, 1.4)
# At 1.5, a picture that fills its square still fills the view after rotation.
FILLING_SCALES = (1.5, 2.5)
STRETCH = 1.4
TURN = 0.5
"""Largest rotation in radians; photos are mostly upright, too."""
SHIFT = 0.15
"""Largest shift, as a fraction of the view's side."""
COLOURS = 2
BRIGHTNESS = 160
"""Range of a dark palette, from 0 up, and of a bright one, from 255 down."""
NOISE = 24
"""Largest change by noise, in grey levels."""
EDGE = 32
"""Grey level at which a shape begins where resampling has blended its edge with the background."""


class Views(NamedTuple):
    """A batch of views."""

    images: NDArray[np.uint8]
    """(N, side, side, 3)"""
    classes: NDArray[np.int64]
    """(N,)"""


def draw_views(pictures: Pictures, count: int, side: int, generator: np.random.Generator) -> Views:
    """Draw `count` views of `side` x `side` pixels, each of a random class."""
    classes = generator.integers(0, len(pictures.grey), count)
    grounds = generator.integers(0, len(pictures.grounds), count)
    scales = np.where((classes < pictures.shapes)[:, None], SHAPE_SCALES, FILLING_SCALES)
    front = _warped(pictures.grey, classes, side, scales, generator)
    behind = _warped(
        pictures.grounds, grounds, side, np.tile(FILLING_SCALES, (count, 1)), generator
    )
    # A palette has 256 colours for the picture and 256 for the background.
    colour = np.where(front > EDGE, front, behind + np.int32(256))
    colour += (np.arange(count, dtype=np.int32) * 512)[:, None, None]
    palettes = _palettes(classes < pictures.shapes, generator)
    images = palettes.take(colour).view(np.uint8)
    images = images.reshape(count, side, side, 4)[..., :3].astype(np.int16)
    noise = generator.integers(-128, 128, images.shape, np.int8).astype(np.int16)
    noise *= generator.integers(0, NOISE, (count, 1, 1, 1), np.int16)
    images += noise >> 7
    return Views(np.clip(images, 0, 255, out=images).astype(np.uint8), classes)


def _palettes(has_ground: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.uint32]:
    """(N * 512,): colours for foreground and background grey levels, one byte per channel.

    They go from one random colour to another. If the background shows, one of the two palettes is
    dark and the other bright, so that the shape is visible.
    """
    count = len(has_ground)
    colours = generator.random((count, 2, COLOURS, 3), np.float32)
    colours *= np.where(has_ground, BRIGHTNESS, 255).astype(np.float32)[:, None, None, None]
    is_dark = generator.random(count) < 0.5
    colours[has_ground & is_dark, 0] += 255 - BRIGHTNESS
    colours[has_ground & ~is_dark, 1] += 255 - BRIGHTNESS
    colours = colours.reshape(2 * count, COLOURS, 3)
    place = np.linspace(0, COLOURS - 1, 256, dtype=np.float32)
    low = np.minimum(place.astype(int), COLOURS - 2)
    share = (place - low)[None, :, None]
    palettes = np.zeros((2 * count, 256, 4), np.uint8)
    palettes[..., :3] = colours[:, low] * (1 - share) + colours[:, low + 1] * share
    return palettes.view(np.uint32).reshape(-1)


def _warped(
    pictures: NDArray[np.uint8],
    classes: NDArray[np.int64],
    side: int,
    scales: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """(N, side, side): a random picture per class, rotated, stretched, scaled and shifted."""
    count, drawn = len(classes), pictures.shape[-1]
    chosen = generator.integers(0, pictures.shape[1], count)
    angle = generator.uniform(-TURN, TURN, count)
    scale = np.exp(generator.uniform(*np.log(scales.T)))
    stretch = np.exp(generator.uniform(-0.5, 0.5, count) * np.log(STRETCH))
    mirror = generator.choice((-1.0, 1.0), count)
    shift = generator.uniform(-SHIFT, SHIFT, (count, 2)) * side
    step = drawn / side / scale  # picture pixels per view pixel
    a, b = np.cos(angle) * step * stretch * mirror, -np.sin(angle) * step / stretch
    d, e = np.sin(angle) * step * stretch * mirror, np.cos(angle) * step / stretch
    # If a picture fills its square, the view must stay inside it.
    shift[scales[:, 0] >= FILLING_SCALES[0]] = 0
    middle = side / 2 + shift
    c = drawn / 2 - a * middle[:, 0] - b * middle[:, 1]
    f = drawn / 2 - d * middle[:, 0] - e * middle[:, 1]
    warped = np.empty((count, side, side), np.uint8)
    for at in range(count):
        image = Image.fromarray(pictures[classes[at], chosen[at]])
        matrix = (a[at], b[at], c[at], d[at], e[at], f[at])
        warped[at] = np.asarray(
            image.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        )
    return warped
