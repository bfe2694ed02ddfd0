"""Small images embedded in a page as data URIs."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging.decoding import decode
from pplcnet.system.processor import available_cores

__all__ = ["data_uri", "overlaid", "palette_uri", "part_of_photo", "thumbnails"]

QUALITY = 72


def data_uri(image: Image.Image, quality: int = QUALITY) -> str:
    """The image as a JPEG data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"


def palette_uri(indices: NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]) -> str:
    """A palette image as a PNG data URI.

    Args:
        indices: (height, width) indices of `colours`; others are transparent.
    """
    # A palette with few entries takes few bits per pixel.
    last = min(len(colours), 255)
    image = Image.fromarray(np.where(indices < last, indices, last).astype(np.uint8))
    image.putpalette([part for colour in colours[:last] for part in colour] + [0] * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=last)
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


def thumbnails(paths: Iterable[Path], side: int = 112) -> Mapping[Path, str]:
    """Each image scaled to fit `side` pixels; images that cannot be read are left out."""

    def small(path: Path) -> str | None:
        try:
            image = decode(path, at_least=side)
        except ImageError:
            return None
        image.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return data_uri(image)

    wanted = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(available_cores()) as pool:
        return {
            path: uri
            for path, uri in zip(wanted, pool.map(small, wanted), strict=True)
            if uri is not None
        }


def part_of_photo(
    path: Path, box: tuple[int, int, int, int] | None = None, *, side: int
) -> str | None:
    """A part of a photo, scaled to fit `side` pixels; None if the photo cannot be read.

    Args:
        box: left, top, right, bottom in pixels of the upright photo; None for the whole photo.
    """
    try:
        image = decode(path, at_least=side if box is None else None)
    except ImageError:
        return None
    part = image.crop(box) if box is not None else image
    part.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return data_uri(part)


def overlaid(pixels: NDArray[np.uint8], heat: NDArray[np.floating], side: int = 160) -> Image.Image:
    """A heat map over an image: cold areas in grey, hot ones in colour.

    Args:
        pixels: (height, width, 3) RGB.
        heat: (h, w) in 0 to 1, of any resolution.
    """
    from matplotlib import colormaps

    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled_image = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    grey = np.asarray(scaled_image.convert("L"), np.float32)[..., np.newaxis] / 255
    scaled = Image.fromarray(np.asarray(heat, np.float32)).resize(size, Image.Resampling.BICUBIC)
    values = np.asarray(scaled).clip(0, 1)
    colours = np.asarray(colormaps["inferno"](0.15 + 0.8 * values))[..., :3]
    weight = (0.72 * values**0.8)[..., np.newaxis]
    mixed = grey * (1 - weight) + colours * weight
    return Image.fromarray((mixed * 255).round().astype(np.uint8))
