"""Draws boxes with their labels on a photo."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pplcnet.errors import printable

if TYPE_CHECKING:  # only drawing needs Pillow's drawing module
    from PIL import Image

    from pplcnet.imaging.decoding import ImageSource

__all__ = ["draw_boxes"]

# Neighbouring class numbers get distant colours.
HUE_STEP = 0.618034
MOST_LABEL = 40
"""The maximum number of characters of a label that are drawn."""


def draw_boxes(
    photo: ImageSource, boxes: Iterable[tuple[str, int, tuple[float, ...]]]
) -> Image.Image:
    """The upright photo with a frame and a line of text for each (text, class, x1, y1, x2, y2).

    The last is drawn on top.

    Raises:
        ImageError: the photo cannot be used.
    """
    from PIL import ImageDraw, ImageFont

    from pplcnet.imaging.decoding import as_image, decode

    image = as_image(decode(photo)).copy()
    draw = ImageDraw.Draw(image)
    side = max(image.size)
    line, height = max(1, round(side / 300)), max(10, round(side / 50))
    font = ImageFont.load_default(height)
    for text, class_id, (x1, y1, x2, y2) in boxes:
        colour = _colour(class_id)
        # A box is an area; this is its last pixel.
        corner = max(x1, x2 - 1), max(y1, y2 - 1)
        draw.rectangle((x1, y1, *corner), outline=colour, width=line)
        text = printable(text)[:MOST_LABEL]
        _, _, right, bottom = draw.textbbox((0, 0), text, font)
        # Above the box, or inside it where there is no room.
        place = (min(x1, max(0, image.width - right)), y1 - bottom if y1 >= bottom else y1)
        draw.rectangle(
            (place[0], place[1], place[0] + right + line, place[1] + bottom), fill=colour
        )
        draw.text(place, text, fill="black", font=font)
    return image


def _colour(class_id: int) -> tuple[int, ...]:
    red, green, blue = colorsys.hsv_to_rgb(class_id * HUE_STEP % 1, 0.55, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
