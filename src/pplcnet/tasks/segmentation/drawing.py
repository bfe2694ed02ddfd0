"""The classes of a photo's pixels laid over the photo in colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ImageError
from pplcnet.imaging.geometry import UNKNOWN
from pplcnet.tasks.segmentation.colours import palette

if TYPE_CHECKING:  # only who draws needs Pillow
    from PIL import Image

    from pplcnet.imaging.decoding import ImageSource

__all__ = ["as_palette_image", "overlay"]

STRIP_ROWS = 64


def as_palette_image(class_map: NDArray[np.uint8]) -> Image.Image:
    """Class indices (H, W) as a palette image, whose values are the indices."""
    from PIL import Image

    image = Image.fromarray(class_map)
    image.putpalette(palette())
    return image


def overlay(photo: ImageSource, class_map: NDArray[np.uint8], opacity: float) -> Image.Image:
    """The upright photo with the colour of each pixel's class over it.

    What is unknown is left as it is.

    Args:
        class_map: (H, W) class indices in the photo's own pixels.
        opacity: of the colours, 0 to 1.

    Raises:
        ImageError: the photo cannot be used, or is of another size.
    """
    from PIL import Image

    from pplcnet.imaging.decoding import as_image, decode, source_name

    pixels = np.array(as_image(decode(photo)))
    if pixels.shape[:2] != class_map.shape:
        height, width = class_map.shape
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
