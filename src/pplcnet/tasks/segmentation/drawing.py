"""Overlays a photo with the colours of its pixels' classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ImageError
from pplcnet.imaging.geometry import UNKNOWN
from pplcnet.imaging.limits import MAX_PIXELS
from pplcnet.tasks.segmentation.colours import palette

if TYPE_CHECKING:  # only drawing needs Pillow
    from PIL import Image

    from pplcnet.imaging.decoding import ImageSource

__all__ = ["as_palette_image", "overlay"]

STRIP_ROWS = 64
MOST_DRAWN = 40_000_000
"""The approximate number of pixels drawn for a photo that is too large to be decoded whole."""


def as_palette_image(class_map: NDArray[np.uint8]) -> Image.Image:
    """Class indices (H, W) as a palette image with the indices as values."""
    from PIL import Image

    image = Image.fromarray(class_map)
    image.putpalette(palette())
    return image


def overlay(photo: ImageSource, class_map: NDArray[np.uint8], opacity: float) -> Image.Image:
    """The upright photo with the colour of each pixel's class over it.

    Unknown pixels are left as they are. A photo that is too large to be decoded whole is drawn
    smaller: every n-th pixel along each side, so that about MOST_DRAWN are left.

    Args:
        class_map: (H, W) class indices in the photo's own pixels.
        opacity: of the colours, 0 to 1.

    Raises:
        ImageError: the photo cannot be used, or is of another size.
    """
    from PIL import Image

    from pplcnet.imaging.decoding import source_name

    height, width = class_map.shape
    step = 1
    if class_map.size > MAX_PIXELS:
        step = math.ceil(math.sqrt(class_map.size / MOST_DRAWN))
    pixels, size = _sampled(photo, step, class_map.size)
    class_map = class_map[::step, ::step]
    if size != (width, height):
        raise ImageError(
            source_name(photo), f"is not the photo that was predicted, which has {width}x{height}."
        )
    colours = np.array(palette(), np.float32).reshape(-1, 3) * opacity
    kept = np.full((256, 1), 1 - opacity, np.float32)
    kept[UNKNOWN], colours[UNKNOWN] = 1, 0
    for top in range(0, len(pixels), STRIP_ROWS):
        part = slice(top, top + STRIP_ROWS)
        classes = class_map[part]
        pixels[part] = np.rint(pixels[part] * kept[classes] + colours[classes])
    return Image.fromarray(pixels)


def _sampled(
    photo: ImageSource, step: int, most_pixels: int
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Every `step`th pixel (h, w, 3) along each side of the upright photo, and its (width, height).

    Args:
        most_pixels: the limit for photos that are read in bands.
    """
    from pplcnet.imaging.decoding import as_image, decode
    from pplcnet.imaging.large_images import open_bands

    if step == 1:
        image = as_image(decode(photo))
        return np.array(image), image.size
    kept, top = [], 0
    with open_bands(photo, most_pixels=most_pixels) as bands:
        for part in bands.parts:
            kept.append(part[-top % step :: step, ::step].copy())
            top += len(part)
    return np.concatenate(kept), bands.size
