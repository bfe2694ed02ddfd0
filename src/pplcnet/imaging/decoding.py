"""Decodes an image in any form to the upright RGB that a person sees.

JPEGs are decoded by libjpeg-turbo: through simplejpeg if it is installed, which is twice as fast as
Pillow and gives the same pixels, otherwise through Pillow.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pplcnet.errors import ImageError
from pplcnet.imaging.acceleration import decode_jpeg
from pplcnet.imaging.colour import has_deep_colour_key, to_rgb
from pplcnet.imaging.files import content_behind, read_image_file, source_name
from pplcnet.imaging.formats import check_is_read, open_heic
from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.kinds import describe, image_format
from pplcnet.imaging.limits import MAX_PIXELS, NO_COST, check_memory, check_pixels
from pplcnet.imaging.orientation import (
    read_orientation,
    shrunk_geometry,
    turn_upright,
    upright_size,
)
from pplcnet.imaging.profiles import transform_to_srgb
from pplcnet.imaging.structure import check_structure, png_without_extras
from pplcnet.imaging.tiff_header import describe_tiff

__all__ = [
    "MAX_PIXELS",
    "Decoded",
    "DecodedImage",
    "ImageSource",
    "Shrink",
    "as_image",
    "decode",
    "decode_image",
    "decode_shrunk",
    "open_image",
    "shrunk",
    "size_of",
    "source_name",
    "stated_pixels",
    "turned_upright",
]

ImageSource = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Image.Image
    | NDArray[np.uint8]
)
"""A path, the content of an image file, a file object opened in binary mode, a PIL image, or an
array."""
DecodedImage = Image.Image | NDArray[np.uint8]
"""RGB: a PIL image or an array (H, W, 3) uint8, whichever the decoder made."""
Shrink = Callable[[tuple[int, int]], int]
"""From the (width, height) of an upright image to the divisor of its sides: 1, 2, 4 or 8."""

# Pillow warns from 89 megapixels on; the limits are checked here, before anything is decoded. It
# also warns of damaged EXIF, which does not affect the pixels.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class Decoded(NamedTuple):
    """A decoded image, and how it relates to the full-size image."""

    image: DecodedImage
    geometry: Geometry
    """From the full-size upright image to the upright `image`, which may be smaller."""
    orientation: int = 1
    """The EXIF orientation of `image`; 1 if it is upright."""


def decode(source: ImageSource, *, at_least: int | None = None) -> Image.Image:
    """Decode an image to the upright 8-bit sRGB that a person sees.

    The EXIF orientation is applied; transparency is blended onto white; greyscale, palette, CMYK
    and 16-bit images become 8-bit RGB; colours of another ICC profile are converted to sRGB (a
    damaged profile is ignored); of an animation, the first frame is taken.

    Args:
        source: a path, the content of an image file, a file object opened in binary mode (read
            from its start if it can seek), a PIL image, or an array: (H, W) or (H, W, 1)
            grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
        at_least: if given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as its
            short side keeps this many pixels. Faster, but with other pixels: for training.

    Raises:
        ImageError: names the source and what is wrong with it. An image of more than 150 million
            pixels, or that takes more than 1 GB of memory or far more work than its pixels are
            worth, is refused before it is decoded.
    """

    def shrink(size: tuple[int, int]) -> int:
        return next(
            each for each in (8, 4, 2, 1) if each == 1 or min(size) // each >= (at_least or 0)
        )

    decoded = decode_image(source, shrink if at_least is not None else None)
    image = as_image(decoded.image)
    return image.copy() if image is source else image


def as_image(decoded: DecodedImage) -> Image.Image:
    """The image as a PIL image; an array is copied."""
    return decoded if isinstance(decoded, Image.Image) else Image.fromarray(decoded)


def size_of(decoded: DecodedImage) -> tuple[int, int]:
    """(width, height)."""
    if isinstance(decoded, Image.Image):
        return decoded.size
    return decoded.shape[1], decoded.shape[0]


def decode_image(
    source: ImageSource,
    shrink: Shrink | None = None,
    *,
    rough: bool = False,
    upright: bool = True,
) -> Decoded:
    """Like `decode`, in the cheapest form, with the geometry.

    Args:
        shrink: gives the divisor for decoding a JPEG at reduced size.
        rough: use libjpeg's faster colour upsampling and transform, a few levels off.
        upright: turn the image upright; if not, the caller must (`Decoded.orientation`).
    """
    if isinstance(source, np.ndarray | Image.Image):
        image = _from_array(source) if isinstance(source, np.ndarray) else _from_image(source)
        return Decoded(image, Geometry(image.size))
    decoded = _from_bytes(read_image_file(source), source_name(source), shrink, rough, upright)
    if not upright or decoded.orientation == 1:
        return decoded
    image = as_image(decoded.image)
    geometry, orientation = decoded.geometry, decoded.orientation
    del decoded  # of an array, so that it is freed before a second image is made
    return Decoded(turn_upright(image, orientation), geometry)


def decode_shrunk(source: ImageSource, shrink: Shrink) -> Decoded:
    """Like `decode_image`, at 1/2, 1/4 or 1/8 of the size if `shrink` allows it.

    A JPEG is shrunk while it is decoded, any other image by averaging squares of pixels, which is
    nearly the same. The image is not turned upright.
    """
    return shrunk(decode_image(source, shrink, upright=False), shrink)


def shrunk(decoded: Decoded, shrink: Shrink) -> Decoded:
    """A fully decoded image, shrunk by averaging squares of its pixels."""
    divisor = shrink(decoded.geometry.size)
    if decoded.geometry.scale[0] != 1 or divisor == 1:
        return decoded
    image = as_image(decoded.image)
    geometry = shrunk_geometry(image.size, divisor, decoded.orientation)
    return Decoded(image.reduce(divisor), geometry, decoded.orientation)


def turned_upright(decoded: Decoded) -> DecodedImage:
    """The image, turned upright if it is not."""
    if decoded.orientation == 1:
        return decoded.image
    return turn_upright(as_image(decoded.image), decoded.orientation)


def stated_pixels(content: bytes, shrink: Shrink | None = None) -> int:
    """The number of pixels that an image file declares; 0 if it cannot be decoded.

    Args:
        shrink: gives a JPEG's divisor; its pixels after that are counted.
    """
    kind = image_format(content)
    if kind is None:
        return 0
    try:
        check_structure(content, kind, "")
        width, height = open_image(content, kind, "").size
    except ImageError:  # decoding reports what is wrong with it
        return 0
    divisor = shrink((width, height)) if shrink is not None and kind == "JPEG" else 1
    return width * height // divisor**2


def _from_bytes(
    content: bytes, name: str, shrink: Shrink | None, rough: bool, upright: bool
) -> Decoded:
    """The image as stored; `upright` reserves memory for turning it later."""
    kind = image_format(content)
    if kind is None:
        raise ImageError(name, describe(content))
    cost = check_structure(content, kind, name)
    image = open_image(content, kind, name)
    size = image.size
    check_pixels(size, name)
    # Pillow loads a PNG when asked for its EXIF, which may be at the end. The HEIC decoder turns
    # the image itself.
    orientation = 1 if kind in ("PNG", "HEIF") else read_orientation(image)
    divisor = 1
    if shrink is not None and kind == "JPEG":
        divisor = shrink(upright_size(size, orientation))
    is_changed = image.mode != "RGB" or "transparency" in image.info
    if has_deep_colour_key(image):
        cost = replace(cost, per_pixel=cost.per_pixel + 4)
    limits = partial(check_memory, size, image.mode, name, cost=cost, divisor=divisor)
    limits(is_changed=is_changed or (upright and orientation != 1))
    is_plain = image.format == "JPEG" and image.mode == "RGB"
    if is_plain and transform_to_srgb(image.info.get("icc_profile"), "RGB") is None:
        fast = decode_jpeg(content, size, divisor, rough=rough)
        if fast is not None:
            return Decoded(fast, shrunk_geometry(size, divisor, orientation), orientation)
    if divisor > 1:
        with contextlib.suppress(Exception):  # loading reports what is wrong
            image.draft("RGB", (size[0] // divisor, size[1] // divisor))
    decoded = image
    # One name throughout, so that the unconverted image is freed before the turn.
    image = to_rgb(image, name, is_ours=True)
    # Pillow turns a TIFF upright itself while loading it.
    if kind in ("PNG", "TIFF"):
        orientation = read_orientation(decoded)
        limits(is_changed=is_changed or (upright and orientation != 1))
    if image is decoded and kind == "HEIF" and getattr(image, "is_animated", False):
        image = image.copy()  # which does not hold on to the file's other images
    del decoded
    image.info = {}
    # Only a JPEG is shrunk. The size of a TIFF or a GIF can change for other reasons.
    if divisor > 1 and image.size != size:
        return Decoded(image, shrunk_geometry(size, divisor, orientation), orientation)
    return Decoded(image, Geometry(upright_size(image.size, orientation)), orientation)


def open_image(content: bytes, kind: str, name: str) -> Image.Image:
    """Read the header of a file of a `kind` from `image_format`; ImageError if it is damaged."""
    if kind == "PNG":
        content = png_without_extras(content)
    check_is_read(kind, name)
    try:
        if kind == "HEIF":
            return open_heic(content)
        return Image.open(io.BytesIO(content), formats=(kind,))
    except Image.DecompressionBombError:
        raise ImageError(name, f"has more than {MAX_PIXELS:,} pixels.") from None
    except Exception as error:  # decoders can raise nearly anything for damaged headers
        if kind == "PNG" and len(sound := png_without_extras(content, bare=True)) < len(content):
            return open_image(sound, kind, name)
        reason = f"truncated or damaged ({str(error).strip()})."
        if isinstance(error, UnidentifiedImageError):
            reason = f"truncated or damaged (it starts like a {kind} file)."
            reason = (describe_tiff(content) if kind == "TIFF" else "") or reason
        raise ImageError(name, reason) from error


def _from_image(image: Image.Image) -> Image.Image:
    name = source_name(image)
    check_pixels(image.size, name)
    content = content_behind(image)
    kind = image_format(content)
    cost = check_structure(content, kind, name) if kind else NO_COST
    check_memory(image.size, image.mode, name, cost=cost)
    converted = to_rgb(image, name, is_ours=False)
    orientation = read_orientation(image)
    return turn_upright(converted, orientation) if orientation != 1 else converted


def _from_array(array: NDArray[Any]) -> Image.Image:
    name = source_name(array)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        hint = ""
        if array.dtype.kind == "f":
            hint = " Levels from 0 to 1: (array * 255).round().astype(np.uint8)."
        elif array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = " Channels first: array.transpose(1, 2, 0)."
        raise ImageError(
            name, f"must be uint8 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).{hint}"
        )
    if array.size == 0:
        raise ImageError(name, "has no pixels.")
    if array.ndim == 3 and channels == 1:
        array = array[:, :, 0]
    check_pixels((array.shape[1], array.shape[0]), name)
    return to_rgb(Image.fromarray(np.ascontiguousarray(array)), name, is_ours=True)
