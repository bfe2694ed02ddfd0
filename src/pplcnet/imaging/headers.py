"""Reads an image file's header: its size and its orientation."""

from __future__ import annotations

from typing import NamedTuple

from pplcnet.errors import ImageError
from pplcnet.imaging.decoding import open_image
from pplcnet.imaging.files import ImageFile, read_image_file, source_name
from pplcnet.imaging.kinds import describe, image_format
from pplcnet.imaging.limits import check_pixels
from pplcnet.imaging.orientation import read_orientation, upright_size
from pplcnet.imaging.structure import check_structure

__all__ = ["Header", "read_header"]


class Header(NamedTuple):
    """The size and the EXIF orientation of an image."""

    stored: tuple[int, int]
    """(width, height) in pixels, before the image is turned upright."""
    orientation: int
    """The EXIF orientation, 1 to 8; 1 if the image is upright."""

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) of the image as a person sees it."""
        return upright_size(self.stored, self.orientation)


def read_header(source: ImageFile) -> Header:
    """The header of an image file; no pixels are decoded.

    Raises:
        ImageError: the file cannot be read, or is not an image.
    """
    content, name = read_image_file(source), source_name(source)
    kind = image_format(content)
    if kind is None:
        raise ImageError(name, describe(content))
    check_structure(content, kind, name)
    image = open_image(content, kind, name)
    check_pixels(image.size, name)
    # The HEIC decoder turns the image itself. A PNG is decoded when asked for its EXIF.
    is_turned = kind not in ("HEIF", "PNG") or (kind == "PNG" and b"eXIf" in content)
    orientation = read_orientation(image) if is_turned else 1
    # For a TIFF, Pillow gives the size of the upright image.
    is_upright = kind == "TIFF"
    return Header(upright_size(image.size, orientation) if is_upright else image.size, orientation)
