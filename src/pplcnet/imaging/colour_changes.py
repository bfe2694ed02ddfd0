"""Random changes of a training image's colours, as in PaddleDetection and PaddleSeg."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

__all__ = ["change_colour"]

HUE_SHIFT = 18
"""The largest shift of the hue, of 256."""


def change_colour(
    pixels: NDArray[np.uint8], generator: np.random.Generator, strength: float = 0.5
) -> NDArray[np.uint8]:
    """(H, W, 3) with brightness, contrast, saturation and hue changed at random.

    Each is changed with probability 1/2, in random order: the first three by factors between
    1 - strength and 1 + strength, the hue by up to HUE_SHIFT.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, None)
    for at in generator.permutation(len(kinds)):
        if generator.random() >= 0.5:
            continue
        kind = kinds[at]
        if kind is None:
            image = _turn_hue(image, int(generator.integers(-HUE_SHIFT, HUE_SHIFT + 1)))
        else:
            image = kind(image).enhance(float(generator.uniform(1 - strength, 1 + strength)))
    return np.asarray(image)


def _turn_hue(image: Image.Image, shift: int) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(each + shift) % 256 for each in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")
