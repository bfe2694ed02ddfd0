"""What the header of an image file says: its size, and how it is to be turned."""

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
    """The size and EXIF's orientation of an image."""

    stored: tuple[int, int]
    """(width, height) in pixels, before the image is turned upright."""
    orientation: int
    """EXIF's, 1 to 8; 1 where nothing is to be turned."""

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) of the image as a person sees it."""
        return upright_size(self.stored, self.orientation)


def read_header(source: ImageFile) -> Header:
    """The header of an image file; no pixel is decoded.

    Raises:
        ImageError: the file cannot be read, or is no image.
    """
    content, name = read_image_file(source), source_name(source)
    kind = image_format(content)
    if kind is None:
        raise ImageError(name, describe(content))
    check_structure(content, kind, name)
    image = open_image(content, kind, name)
    check_pixels(image.size, name)
    # The decoder of HEIC turns the image itself. A PNG is decoded when it is asked for EXIF.
    is_turned = kind not in ("HEIF", "PNG") or (kind == "PNG" and b"eXIf" in content)
    orientation = read_orientation(image) if is_turned else 1
    # Of a TIFF, Pillow gives the size of the upright image.
    is_upright = kind == "TIFF"
    return Header(upright_size(image.size, orientation) if is_upright else image.size, orientation)
