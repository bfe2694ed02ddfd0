"""The antialiased bilinear resize that networks are trained and used with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.imaging import acceleration
from pplcnet.imaging.acceleration import MAX_ARRAY_PIXELS
from pplcnet.imaging.decoding import Decoded, DecodedImage, as_image, size_of
from pplcnet.imaging.orientation import Box, stored_box, turn_upright, upright_size

__all__ = ["MAX_FILTERED_SIDE", "resize_bilinear", "resize_decoded", "shorten"]

# No photo is longer: a JPEG has 65,535 pixels at most.
MAX_FILTERED_SIDE = 1_000_000


def resize_bilinear(
    image: DecodedImage, size: tuple[int, int], box: Box | None = None
) -> NDArray[np.uint8]:
    """A box of an RGB image, resized to (width, height) by Pillow's filter or within a level of it.

    Args:
        box: defaults to the whole image.

    Returns:
        (height, width, 3) uint8, which may be read-only.
    """
    width, height = size_of(image)
    whole = (0.0, 0.0, float(width), float(height))
    box = whole if box is None else box
    if (width, height) == size and box == whole:
        return np.asarray(image)
    if width * height <= MAX_ARRAY_PIXELS and max(width, height) <= MAX_FILTERED_SIDE:
        fast = acceleration.resize_bilinear(np.asarray(image), size, box)
        if fast is not None:
            return fast
    shorter, (across, down) = shorten(as_image(image))
    left, top, right, bottom = box
    part = (left / across, top / down, right / across, bottom / down)
    return np.asarray(shorter.resize(size, Image.Resampling.BILINEAR, box=part))


def resize_decoded(decoded: Decoded, size: tuple[int, int], box: Box) -> NDArray[np.uint8]:
    """A box of the full-size upright image, resized to (width, height) and then turned upright.

    Returns:
        (height, width, 3) uint8, which may be read-only.
    """
    image, orientation = decoded.image, decoded.orientation
    upright = upright_size(size_of(image), orientation)
    part = stored_box(decoded.geometry.place_box(box, upright), upright, orientation)
    pixels = resize_bilinear(image, upright_size(size, orientation), part)
    if orientation == 1:
        return pixels
    # Turn the few pixels that are left, not the many of the photo.
    return np.asarray(turn_upright(Image.fromarray(pixels), orientation))


def shorten(image: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """The image with no side above MAX_FILTERED_SIDE, and what its sides were divided by.

    Pillow keeps a weight for every pixel along a side: gigabytes for an image one pixel high.
    """
    across, down = (-(-side // MAX_FILTERED_SIDE) for side in image.size)
    return (image if across == down == 1 else image.reduce((across, down))), (across, down)
