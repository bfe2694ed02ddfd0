"""Reads a mask's file: the stored value of each pixel.

A mask is not a photo: its values stand for classes, so nothing may be scaled, blended or converted.
Palette images keep their indices; grey levels of 1, 2 and 4 bits are not stretched to 8. File size,
pixels and memory have the same limits as for photos.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging.decoding import open_image
from pplcnet.imaging.files import ImageFile, read_image_file, source_name
from pplcnet.imaging.kinds import describe, image_format
from pplcnet.imaging.limits import check_memory, check_pixels
from pplcnet.imaging.orientation import turn_upright
from pplcnet.imaging.structure import check_structure

__all__ = ["MOST_VALUES", "MaskValues", "decode_mask", "tally"]

MOST_VALUES = 4096
"""The most different values in a mask. A photo, or a mask blurred by resizing, has more."""
BAND_PIXELS = 4_000_000
LOSSY = ("JPEG", "HEIF", "AVIF")
JPEG_IN_TIFF = ("jpeg", "tiff_jpeg")
# Pillow's factors for grey levels of fewer than 8 bits.
STRETCHED = {"L;2": 85, "L;4": 17}
OPAQUE = 255

Kind = Literal["grey", "palette", "colour"]


class MaskValues(NamedTuple):
    """The stored values of a mask's pixels."""

    values: NDArray[np.unsignedinteger]
    """(H, W): grey levels or palette indices, uint8 or uint16; for "colour", uint32 0xRRGGBB."""
    kind: Kind
    palette: tuple[int, ...] = ()
    """The colour 0xRRGGBB of each index; only for "palette"."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.values.shape[1], self.values.shape[0]

    @property
    def digest(self) -> str:
        """Equal for equal values, and for palettes only if the colours are equal too."""
        digest = blake2b(repr((self.size, self.kind, self.palette)).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.values).data)
        return digest.hexdigest()


def decode_mask(source: ImageFile, orientation: int = 1) -> MaskValues:
    """The stored values of a mask's file.

    An RGB file whose channels are equal everywhere is "grey".

    Args:
        source: a path, the content of a file, or a file object.
        orientation: the EXIF orientation, 1 to 8, to turn the mask by: that of a photo whose mask
            was drawn on the photo as it is stored.

    Raises:
        ImageError: the file cannot be read, is damaged or too large, is in a format that does not
            keep values, is partly transparent, or is of a kind that has no values.
    """
    content, name = read_image_file(source), source_name(source)
    kind = image_format(content)
    if kind is None:
        raise ImageError(name, describe(content))
    is_lossy_webp = kind == "WEBP" and b"VP8L" not in content[12:64]
    if kind in LOSSY or is_lossy_webp:
        raise _lossy(name, kind)
    cost = check_structure(content, kind, name)
    image = open_image(content, kind, name)
    if image.info.get("compression") in JPEG_IN_TIFF:
        raise _lossy(name, "JPEG in TIFF")
    check_pixels(image.size, name)
    # Bands of rows are copied one at a time, besides what is returned.
    check_memory(image.size, image.mode, name, cost=replace(cost, per_pixel=cost.per_pixel + 1))
    rawmode = _rawmode(image)
    try:
        image.load()
    except MemoryError as error:
        raise ImageError(name, "takes more memory to decode than this process has.") from error
    except Exception as error:  # decoders can raise nearly anything for damaged pixels
        raise ImageError(name, f"truncated or damaged ({str(error).strip()}).") from error
    if orientation != 1:
        image = turn_upright(image, orientation)
    return _values(image, rawmode, name)


def tally(mask: MaskValues) -> dict[int, int]:
    """The number of pixels by value.

    Raises:
        ImageError: more than MOST_VALUES different ones; without the file's name.
    """
    if mask.values.dtype != np.uint32:
        counts = np.bincount(mask.values.ravel())
        found = np.flatnonzero(counts)
        if len(found) > MOST_VALUES:
            raise _too_many("", len(found))
        return dict(zip(found.tolist(), counts[found].tolist(), strict=True))
    total: dict[int, int] = {}
    for band in _bands(mask.values):
        flat = band.ravel()
        # There are far fewer runs of one value than pixels.
        starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
        lengths = np.diff(np.append(starts, len(flat)))
        found, places = np.unique(flat[starts], return_inverse=True)
        for value, count in zip(
            found.tolist(), np.bincount(places, lengths).astype(int).tolist(), strict=True
        ):
            total[value] = total.get(value, 0) + count
        if len(total) > MOST_VALUES:
            raise _too_many("", len(total))
    return dict(sorted(total.items()))


def _too_many(name: str, number: int) -> ImageError:
    return ImageError(
        name,
        f"has {number} different colours or more, but a mask has one per class: it was resized "
        "with smoothing, was once saved with lossy compression, or is a photo.",
    )


def _lossy(name: str, kind: str) -> ImageError:
    kind = kind.replace("WEBP", "lossy WebP")
    return ImageError(
        name,
        f"saved as {kind}, which changes the values along every boundary; save masks as PNG, from "
        "the originals.",
    )


def _rawmode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", None)
    args = tiles[0][3] if tiles else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _values(image: Image.Image, rawmode: str, name: str) -> MaskValues:
    if image.mode == "P":
        flat = (image.getpalette("RGB") or [])[: 3 * 256]
        colours = np.array(flat, np.uint32).reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1], "u4")
        return MaskValues(np.asarray(image), "palette", tuple(colours.tolist()))
    if image.mode == "1":
        return MaskValues(np.asarray(image).astype(np.uint8), "grey")
    if image.mode == "L":
        return MaskValues(np.asarray(image) // np.uint8(STRETCHED.get(rawmode, 1)), "grey")
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        return MaskValues(_deep(image, name), "grey")
    if image.mode in ("LA", "RGB", "RGBA"):
        return _of_channels(image, name)
    raise ImageError(
        name,
        f"an image of the kind {image.mode}, whose values cannot stand for classes; save the mask "
        "as PNG with one channel, a palette or RGB.",
    )


def _deep(image: Image.Image, name: str) -> NDArray[np.uint16]:
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise ImageError(name, f"has values from {low} to {high}; classes are 0 to 254.")
    return values.astype(np.uint16)


def _of_channels(image: Image.Image, name: str) -> MaskValues:
    """The values of an image with several channels, read in bands of rows."""
    width, height = image.size
    colours, is_grey = np.empty((height, width), np.uint32), True
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        if image.mode.endswith("A"):
            if (band[..., -1] != OPAQUE).any():
                raise ImageError(
                    name,
                    "is partly transparent, which stands for no class; save it without "
                    "transparency.",
                )
            band = band[..., :-1]
        place = colours[top : top + rows]
        place[:] = band[..., 0]
        if band.shape[2] == 1:
            continue
        is_grey &= bool((band == band[..., :1]).all())
        place <<= 8
        place |= band[..., 1]
        place <<= 8
        place |= band[..., 2]
    if is_grey:
        return MaskValues((colours & 255).astype(np.uint8), "grey")
    return MaskValues(colours, "colour")


def _bands(values: NDArray[np.unsignedinteger]) -> list[NDArray[np.unsignedinteger]]:
    rows = max(1, BAND_PIXELS // values.shape[1])
    return [values[top : top + rows] for top in range(0, len(values), rows)]
