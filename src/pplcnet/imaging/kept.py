"""A photo as training keeps it from epoch to epoch: small, but with enough detail for crops."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.decoding import Decoded, ImageSource, decode_shrunk
from pplcnet.imaging.preprocessing import SPARE
from pplcnet.imaging.resizing import resize_decoded

__all__ = ["divisor_for_crops", "keep_for_crops", "kept_side", "shrink_for_crops"]

# Images are kept at this multiple of the input, so that most crops are scaled down and thousands of
# images fit in memory. Small crops need the greater one. Only two, so that the trials of a search
# share images.
USUAL, GREATER = 1.5, 2.0
# An image is kept as it is up to this multiple of the side: a smaller resize would only blur it.
AS_IT_IS = 4 / 3
# The search for near-duplicates also uses what is decoded here.
LEAST_DECODED = 2 * 128


def kept_side(image_size: tuple[int, int], least_crop: float) -> int:
    """The short side, in pixels, of the images that random crops are taken from.

    It depends on the smallest crop, not on the whole image, so that few crops are scaled up.

    Args:
        image_size: the network's input.
        least_crop: the smallest fraction of an image's area that a crop keeps.
    """
    return math.ceil(max(image_size) * (USUAL if least_crop * USUAL**2 >= 1 else GREATER))


def keep_for_crops(source: ImageSource, side: int) -> NDArray[np.uint8]:
    """An upright image whose short side has `side` pixels, or up to a third more.

    Reduced and resized as for "shrunk-bilinear"; a smaller image is returned as it is.

    Raises:
        ImageError: the image cannot be used.
    """
    return shrink_for_crops(decode_shrunk(source, partial(divisor_for_crops, side=side)), side)


def divisor_for_crops(size: tuple[int, int], side: int) -> int:
    """The divisor for an image of (width, height) before it is resized to `side`."""
    least = max(SPARE * side, LEAST_DECODED)
    return next(each for each in (8, 4, 2, 1) if each == 1 or min(size) >= least * each)


def shrink_for_crops(decoded: Decoded, side: int) -> NDArray[np.uint8]:
    """Like `keep_for_crops`, for an image already divided by `divisor_for_crops`."""
    width, height = decoded.geometry.size
    shrink = side / min(width, height)
    size = (width, height)
    if shrink * AS_IT_IS < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return resize_decoded(decoded, size, (0, 0, width, height))
