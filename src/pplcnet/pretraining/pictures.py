"""The greyscale pictures for pretraining; views add colours and backgrounds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.pretraining import contours, fractals, textures
from pplcnet.pretraining.plan import Amounts

__all__ = ["Pictures", "draw_all"]

GROUNDS = 256


class Pictures(NamedTuple):
    """All pictures of all classes."""

    grey: NDArray[np.uint8]
    """(classes, pictures, side, side): fractals, contours, textures; 0 is background."""
    shapes: int
    """The number of fractal and contour classes; textures, which fill the picture, come after."""
    grounds: NDArray[np.uint8]
    """(GROUNDS, 1, side, side): smooth pictures for the background."""


def draw_all(amounts: Amounts, seed: int) -> Pictures:
    """Draw all pictures; the same amounts and seed give the same pictures."""
    generator = np.random.default_rng(seed)
    count, side = amounts.each, amounts.side
    drawn: list[NDArray[np.uint8]] = []
    if amounts.fractals:
        systems = fractals.draw_systems(amounts.fractals, generator)
        drawn.append(fractals.draw_pictures(systems, count, side, generator))
    if amounts.contours:
        curves = contours.draw_contours(amounts.contours, generator)
        drawn.append(contours.draw_pictures(curves, count, side, generator))
    if amounts.textures:
        spectra = textures.draw_textures(amounts.textures, generator)
        drawn.append(textures.draw_pictures(spectra, count, side, generator))
    smooth = textures.draw_smooth(GROUNDS)
    grounds = textures.draw_pictures(smooth, 1, side, generator)
    return Pictures(np.concatenate(drawn), amounts.fractals + amounts.contours, grounds)
