"""Optional libraries that do a step faster, with the same pixels or within one level of them.

simplejpeg decodes JPEGs (libjpeg-turbo, twice as fast as Pillow, the same pixels). cykooz.resizer
resizes with antialiasing (three times as fast, within one level of Pillow). Without them, Pillow
does both.
"""

from __future__ import annotations

import contextlib
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_ARRAY_PIXELS", "decode_jpeg", "optional_module", "resize_bilinear"]

# Larger images stay in Pillow's memory: an array would be a second copy.
MAX_ARRAY_PIXELS = 40_000_000


@cache
def optional_module(name: str) -> ModuleType | None:
    """An optional library that only adds speed, or None if it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def decode_jpeg(
    content: bytes, size: tuple[int, int], divisor: int, *, rough: bool
) -> NDArray[np.uint8] | None:
    """An RGB JPEG of (width, height) at 1/`divisor` of its size; None if Pillow has to decode it.

    Args:
        rough: use libjpeg's faster colour upsampling and transform, a few levels off.
    """
    simplejpeg = optional_module("simplejpeg")
    width, height = size
    if simplejpeg is None or width * height > MAX_ARRAY_PIXELS * divisor**2:
        return None
    with contextlib.suppress(Exception):  # Pillow reports what is wrong, if anything
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


def resize_bilinear(
    pixels: NDArray[np.uint8], size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.uint8] | None:
    """A box (left, top, right, bottom) of (H, W, 3), resized to (width, height).

    Returns:
        (height, width, 3); None if Pillow has to resize it.
    """
    resizer: Any = optional_module("cykooz_resizer")
    if resizer is None:
        return None
    three_bytes, (left, top, right, bottom) = resizer.PixelType.U8x3, box
    # The library takes bytes, which cannot share memory with an array.
    source = resizer.ImageData(pixels.shape[1], pixels.shape[0], three_bytes, pixels.tobytes())
    resized = resizer.ImageData(*size, three_bytes)
    options = resizer.ResizeOptions(
        resize_alg=resizer.ResizeAlg.convolution(resizer.FilterType.bilinear),
        crop_box=resizer.CropBox(left, top, right - left, bottom - top),
        use_alpha=False,
    )
    # A resizer keeps its buffers and is not thread-safe, so each call makes its own.
    resizer.Resizer().resize(source, resized, options)
    content = resized.rust_image.buffer()
    return np.frombuffer(content, np.uint8).reshape(size[1], size[0], 3)
