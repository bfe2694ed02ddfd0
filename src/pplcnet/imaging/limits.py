"""Limits on an image's pixels and memory, which are checked before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from pplcnet.errors import ImageError
from pplcnet.imaging.tiff_header import read_tiff_header

__all__ = [
    "MAX_MEMORY_BYTES",
    "MAX_PIXELS",
    "NO_COST",
    "Cost",
    "check_memory",
    "check_pixels",
    "is_exif_small",
    "limit_pixels",
]

MAX_PIXELS = 150_000_000
"""More than the everyday modes of the largest phone cameras, less than a decompression bomb."""
MAX_MEMORY_BYTES = 1_000_000_000
"""The file, the decoded image and the decoder's own buffers together, at any time."""

# How many numbers (not characters) EXIF may hold.
MAX_EXIF_NUMBERS = 100_000

# Bytes per pixel in Pillow's memory; four in every mode that is not listed.
STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
RGB_BYTES = 4
# Pillow keeps a pointer per row; no photo has enough rows for that to matter.
ROW_BYTES = 12
FREE_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Cost:
    """The memory that a decoder needs besides the pixels that it returns."""

    per_pixel: float = 0.0
    """Bytes per pixel of the stored image."""
    fixed: int = 0
    """Bytes, whatever the size."""


NO_COST = Cost()
_most_pixels = MAX_PIXELS


def limit_pixels(most: int) -> None:
    """Set the limit of this process to `most` pixels per image, at most MAX_PIXELS."""
    global _most_pixels
    _most_pixels = most


def check_pixels(size: tuple[int, int], name: str, most: int | None = None) -> None:
    """Raise ImageError if (width, height) is more pixels than this process decodes.

    Args:
        most: the limit for an image that is decoded in parts, instead of MAX_PIXELS.
    """
    width, height = size
    allowed = min(_most_pixels, MAX_PIXELS) if most is None else most
    if width * height > allowed:
        how = "decoded" if most is None else "processed in windows; the limit can be raised"
        raise ImageError(name, f"has {width}x{height} pixels; at most {allowed:,} are {how}.")


def check_memory(
    size: tuple[int, int],
    mode: str,
    name: str,
    *,
    cost: Cost = NO_COST,
    divisor: int = 1,
    is_changed: bool = True,
) -> None:
    """Raise ImageError if decoding takes more than MAX_MEMORY_BYTES.

    Args:
        size: (width, height) of the stored image.
        mode: Pillow's mode of the decoded image.
        divisor: the divisor of width and height when a JPEG is decoded at reduced size.
        is_changed: whether converting to RGB or turning upright makes a second copy.
    """
    pixels = size[0] * size[1]
    handed_out = STORED.get(mode, 4) + (RGB_BYTES if is_changed else 0)
    needed = round(cost.fixed + pixels * (cost.per_pixel + handed_out / divisor**2))
    needed += max(size[1] - FREE_ROWS, 0) * ROW_BYTES * (2 if is_changed else 1)
    if needed > MAX_MEMORY_BYTES:
        raise ImageError(
            name,
            f"has {size[0]}x{size[1]} pixels of a kind that takes {needed / 1e9:.2f} GB to decode; "
            f"at most {MAX_MEMORY_BYTES / 1e9:g} GB is used: make it smaller.",
        )


def is_exif_small(exif: bytes) -> bool:
    """Whether EXIF data declares few enough values to be read."""
    header = read_tiff_header(exif.removeprefix(b"Exif\0\0"))
    return header is None or (
        header.stored_bytes <= len(exif) and header.number_count <= MAX_EXIF_NUMBERS
    )
