"""EXIF orientation: turns stored images upright."""

from __future__ import annotations

import contextlib

from PIL import Image

from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.limits import is_exif_small

__all__ = [
    "EXIF_ORIENTATION",
    "Box",
    "read_orientation",
    "shrunk_geometry",
    "stored_box",
    "turn_upright",
    "upright_size",
]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""

EXIF_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that undoes each EXIF orientation; 1 is upright."""
# Orientations whose upright left (or top) border is a stored right or lower border.
_ENDS_LEFT, _ENDS_TOP = (2, 3, 6, 7), (3, 4, 7, 8)


def read_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if it is missing or damaged."""
    exif = image.info.get("exif")
    if isinstance(exif, bytes) and not is_exif_small(exif):
        return 1
    with contextlib.suppress(Exception):  # damaged EXIF does not affect the pixels
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        return orientation if orientation in UPRIGHT else 1
    return 1


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image as a person sees it; without EXIF, so that it is not turned again."""
    turned = image.transpose(UPRIGHT[orientation])
    turned.info = {}
    return turned


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(width, height) of a stored image once it is turned upright; also the inverse."""
    return size[::-1] if orientation >= 5 else size


def stored_box(box: Box, size: tuple[int, int], orientation: int) -> Box:
    """A box of the upright image, mapped to the stored one.

    Args:
        size: (width, height) of the upright image.
    """
    left, top, right, bottom = box
    if orientation in _ENDS_LEFT:
        left, right = size[0] - right, size[0] - left
    if orientation in _ENDS_TOP:
        top, bottom = size[1] - bottom, size[1] - top
    return (top, left, bottom, right) if orientation >= 5 else (left, top, right, bottom)


def shrunk_geometry(size: tuple[int, int], divisor: int, orientation: int) -> Geometry:
    """The geometry from an upright image to what was decoded of it at 1/`divisor`.

    Args:
        size: full (width, height) as stored.
    """
    width, height = upright_size(size, orientation)
    # The decoded size is rounded up, so the last stored pixel may lie half outside the image. In a
    # mirrored image, that pixel comes first.
    return Geometry(
        (width, height),
        (1 / divisor, 1 / divisor),
        (
            (-width % divisor) / divisor if orientation in _ENDS_LEFT else 0.0,
            (-height % divisor) / divisor if orientation in _ENDS_TOP else 0.0,
        ),
    )
