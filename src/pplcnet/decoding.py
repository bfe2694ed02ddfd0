"""One picture, in whatever form, to the upright RGB that a person sees.

JPEGs are decoded by libjpeg-turbo: through simplejpeg where that is installed, which is twice as
fast as Pillow and gives the same pixels, through Pillow elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pplcnet.errors import ImageError

__all__ = [
    "IMAGE_ENDINGS",
    "MAX_PIXELS",
    "ImageSource",
    "Picture",
    "Shrink",
    "as_image",
    "decode",
    "decode_picture",
    "optional_module",
]

ImageSource = str | os.PathLike[str] | bytes | bytearray | Image.Image | NDArray[np.uint8]
Picture = Image.Image | NDArray[np.uint8]
"""Upright RGB: a PIL image, or an array (H, W, 3) uint8; whichever the decoder made."""
Shrink = Callable[[tuple[int, int]], int]
"""(width, height) to what a JPEG may be divided by while it is decoded: 1, 2, 4 or 8."""

IMAGE_ENDINGS = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"]
)
# "JPEG" also opens MPO, what some phones write; naming MPO here would fail on other files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

# Above the largest phone cameras' everyday modes, below what a decompression bomb wants: 150
# megapixels are 450 MB once decoded.
MAX_PIXELS = 150_000_000
# Pillow warns from 89 megapixels on; the limit above is checked here, before anything is decoded.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

EXIF_ORIENTATION = 0x0112
JPEGS = ("JPEG", "MPO")


def decode(source: ImageSource, *, at_least: int | None = None) -> Image.Image:
    """Decode a picture to the upright RGB that a person sees.

    The orientation in EXIF is applied; transparency is laid on white; greyscale, palette, CMYK
    and 16-bit pictures become 8-bit RGB; of an animation the first frame is taken.

    Args:
        source: a path, the bytes of an image file, a PIL image, or an array: (H, W) or (H, W, 1)
            grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
        at_least: when given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as its
            short side keeps this many pixels. Faster, and not the same pixels: for training.

    Raises:
        ImageError: names the source, and says what is wrong with it.
    """

    def shrink(size: tuple[int, int]) -> int:
        return next(
            each for each in (8, 4, 2, 1) if each == 1 or min(size) // each >= (at_least or 0)
        )

    picture = decode_picture(source, shrink if at_least is not None else None)
    return as_image(picture)


def as_image(picture: Picture) -> Image.Image:
    """The picture as a PIL image; an array is copied."""
    return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)


def decode_picture(
    source: ImageSource, shrink: Shrink | None = None, *, rough: bool = False
) -> Picture:
    """As `decode`, in the form that costs least.

    Args:
        shrink: what a JPEG of some (width, height) may be divided by while it is decoded.
        rough: take libjpeg's faster colour upsampling and transform, some levels off.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _to_rgb(source, "the PIL image")
    if isinstance(source, bytes | bytearray):
        return _from_bytes(bytes(source), f"the image of {len(source)} bytes", shrink, rough)
    name = os.fspath(source)
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror}).") from error
    return _from_bytes(content, name, shrink, rough)


@cache
def optional_module(name: str) -> ModuleType | None:
    """A library that only makes things faster, or None where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _from_bytes(content: bytes, name: str, shrink: Shrink | None, rough: bool) -> Picture:
    if not content:
        raise ImageError(name, "the file is empty (zero bytes).")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(
            name, "not an image (JPEG, PNG, WebP, BMP, GIF and TIFF are read)."
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(name, f"has more than {MAX_PIXELS:,} pixels.") from None
    except Exception as error:  # decoders of damaged headers raise nearly anything
        raise ImageError(name, f"cannot be decoded ({error}).") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(name, f"has {width}x{height} pixels; at most {MAX_PIXELS:,} are decoded.")
    divisor = shrink((width, height)) if shrink is not None and image.format in JPEGS else 1
    fast = _fast_jpeg(image, content, divisor, rough)
    if fast is not None:
        return fast
    if divisor > 1:
        with contextlib.suppress(Exception):  # loading says what is wrong
            image.draft("RGB", (width // divisor, height // divisor))
    return _to_rgb(image, name)


def _fast_jpeg(
    image: Image.Image, content: bytes, divisor: int, rough: bool
) -> NDArray[np.uint8] | None:
    """An ordinary JPEG through simplejpeg; None for what Pillow has to look at."""
    simplejpeg = optional_module("simplejpeg")
    if simplejpeg is None or image.format != "JPEG" or image.mode != "RGB":
        return None
    with contextlib.suppress(Exception):  # Pillow says what is wrong, or that nothing is
        if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
            return None
        width, height = image.size
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            content,
            "RGB",
            fastdct=rough,
            fastupsample=rough,
            # Rounded up, as libjpeg does.
            min_height=-(-height // divisor),
            min_width=-(-width // divisor),
            min_factor=divisor,
        )
        return pixels
    return None


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
    except Exception as error:  # decoders of damaged pixels raise nearly anything
        raise ImageError(name, f"truncated or damaged ({error}).") from error
    with contextlib.suppress(Exception):  # damaged EXIF says nothing about the pixels
        image = ImageOps.exif_transpose(image)
    try:
        if image.mode == "RGB":
            return image
        if image.mode.startswith("I;16") or image.mode in ("I", "F"):
            return _from_deep_grey(image, name)
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, rgba).convert("RGB")
        return image.convert("RGB")
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(name, f"cannot be converted to RGB ({error}).") from error


def _from_deep_grey(image: Image.Image, name: str) -> Image.Image:
    """16-bit grey to 8 bits. Pillow's own convert() clips at 255, which turns photos white."""
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise ImageError(
            name, "its grey values are not 8 or 16 bit whole numbers; save it as 8 or 16 bit."
        )
    grey = (values.astype(np.uint32) * 255 + 32767) // 65535
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _from_array(array: NDArray[Any]) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ImageError(
            f"the array of shape {array.shape} and type {array.dtype}",
            "must be uint8 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).",
        )
    if array.size == 0:
        raise ImageError(f"the array of shape {array.shape}", "has no pixels.")
    if array.ndim == 3 and channels == 1:
        array = array[:, :, 0]
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)), "the array")
