"""Reads images that are too large to be in memory as a whole, from top to bottom.

A TIFF is read a few strips or tiles at a time, a PNG a few rows at a time; a JPEG releases its
memory as it is read. All other images, and smaller ones, are decoded as usual; the pixels are the
same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging.bands import MOST_PIXELS, Bands
from pplcnet.imaging.decoding import ImageSource, decode_image, size_of
from pplcnet.imaging.files import open_image_file, source_name
from pplcnet.imaging.jpeg_bands import open_jpeg
from pplcnet.imaging.kinds import image_format
from pplcnet.imaging.limits import check_pixels
from pplcnet.imaging.png_bands import open_png
from pplcnet.imaging.tiff_bands import open_tiff

__all__ = ["open_bands"]

WHOLE_PIXELS = 20_000_000
"""Smaller images are decoded as a whole."""
ROWS = 256
"""Bands have about this many pixels."""
LOOKED_AT = 1024
"""The number of bytes needed to identify a file's format."""


@contextlib.contextmanager
def open_bands(source: ImageSource, *, most_pixels: int = MOST_PIXELS) -> Iterator[Bands]:
    """An image of any kind that `decode` takes, in bands.

    Args:
        most_pixels: a larger image is refused before it is decoded.

    Raises:
        ImageError: as `decode`, whose own limit applies to what is not read in bands.
    """
    if isinstance(source, np.ndarray) and _is_rgb(source):
        check_pixels((source.shape[1], source.shape[0]), source_name(source), most=most_pixels)
        yield Bands((source.shape[1], source.shape[0]), iter((source,)))
        return
    if isinstance(source, np.ndarray | Image.Image):
        yield _of_whole(source, most_pixels)
        return
    name = source_name(source)
    with open_image_file(source) as file:
        found = _of_file(file, name, most_pixels)
        if found is None:
            file.seek(0)
            try:
                content = source if isinstance(source, str | os.PathLike) else file.read()
                found = _of_whole(content, most_pixels)
            except ImageError as error:
                raise ImageError(name, error.reason) from error
        yield found


def _is_rgb(array: NDArray[Any]) -> bool:
    """Whether it is what a decoder makes; for others, `decode_image` reports what is wrong."""
    return array.dtype == np.uint8 and array.shape[2:] == (3,) and array.size > 0


def _of_file(file: IO[bytes], name: str, most_pixels: int) -> Bands | None:
    """The image in bands; None if the file has to be decoded as a whole."""
    kind = image_format(file.read(LOOKED_AT))
    openers = {"JPEG": open_jpeg, "PNG": open_png, "TIFF": open_tiff}
    if kind not in openers:
        return None
    file.seek(0)
    found = openers[kind](file, name, ROWS, most_pixels)
    if found is None or found.size[0] * found.size[1] <= WHOLE_PIXELS:
        return None
    return found


def _of_whole(source: ImageSource, most_pixels: int) -> Bands:
    image = decode_image(source).image
    size = size_of(image)
    check_pixels(size, source_name(source), most=most_pixels)

    def parts() -> Iterator[NDArray[np.uint8]]:
        if isinstance(image, np.ndarray):
            yield image
            return
        for top in range(0, size[1], ROWS):
            yield np.asarray(image.crop((0, top, size[0], min(top + ROWS, size[1]))))

    return Bands(size, parts())
