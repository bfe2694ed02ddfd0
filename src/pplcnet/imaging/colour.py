"""Converts a decoded image of any kind to 8-bit sRGB: grey levels, transparency, ICC profiles.

PNG's gAMA, cHRM, sRGB and cICP chunks and EXIF's colour space are ignored; ICC profiles count.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from pplcnet.errors import ImageError
from pplcnet.imaging.profiles import Transform, transform_to_srgb

__all__ = ["has_deep_colour_key", "to_rgb"]

# Images are converted in bands of rows: the extra copy is of a small part, not of everything.
BAND_PIXELS = 1_000_000
WHITE = (255, 255, 255)
WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_SAMPLE_FORMAT = 258, 262, 339
WHITE_IS_ZERO = 0
DEEP_WHITE = 65535


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do to each band of rows."""

    transform: Transform | None
    """From the image's colour space to sRGB; None if the mode already determines the colours."""
    transparency: Any = None
    """The transparent grey level, colour or palette entry."""
    low_bytes: Image.Image | None = None
    """For a 16-bit RGB PNG with a transparent colour: the lower byte of every sample."""
    deep_white: int = DEEP_WHITE
    is_white_zero: bool = False
    is_alpha_unused: bool = False


def has_deep_colour_key(image: Image.Image) -> bool:
    """Whether this is a 16-bit RGB PNG, not loaded yet, that has a transparent colour."""
    return _first_tile(image)[0] == "RGB;16B" and "transparency" in image.info


def to_rgb(image: Image.Image, name: str, *, is_ours: bool) -> Image.Image:
    """Load an image and convert it to RGB; transparency is blended onto white.

    Args:
        image: of any mode, loaded or not.
        name: the image's name in errors.
        is_ours: whether it may be changed in place, because the caller does not keep it.

    Returns:
        An RGB image, which is `image` itself if nothing had to be done.

    Raises:
        ImageError: damaged, or of a kind without a defined black and white.
    """
    rawmode, extents = _first_tile(image)
    try:
        low_bytes = _low_bytes(image) if has_deep_colour_key(image) else None
        image.load()
    except MemoryError as error:
        raise ImageError(name, "takes more memory to decode than this process has.") from error
    except Exception as error:  # decoders can raise nearly anything for damaged pixels
        raise ImageError(name, f"truncated or damaged ({str(error).strip()}).") from error
    try:
        plan = _plan(image, name, rawmode, low_bytes)
        converted = _convert(image, plan, name, is_ours=is_ours)
        if image.format == "GIF" and extents and plan.transparency is None:
            converted = _on_white_canvas(converted, extents)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(name, f"cannot be converted to RGB ({error}).") from error
    return converted


def _first_tile(image: Image.Image) -> tuple[str, tuple[int, int, int, int] | None]:
    """The raw mode of an image that is not loaded yet, and the box that its pixels fill."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return "", None
    args = tiles[0][3]
    rawmode = args[0] if isinstance(args, tuple) and args else args
    return (rawmode if isinstance(rawmode, str) else ""), tiles[0][1]


def _low_bytes(image: Any) -> Image.Image:
    """The lower bytes of a 16-bit RGB PNG with a transparent colour; Pillow keeps the upper ones.

    Both are needed to tell whether a pixel has exactly the transparent colour.
    """
    place = image.fp.tell()
    image.fp.seek(0)
    again = PngImageFile(io.BytesIO(image.fp.read()))
    image.fp.seek(place)
    again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
    again.load()
    return again


def _plan(image: Image.Image, name: str, rawmode: str, low_bytes: Image.Image | None) -> _Plan:
    tags = getattr(image, "tag_v2", {})
    _check_samples(image.mode, tags, name)
    bits = max(_numbers(tags.get(TIFF_BITS, 16)))
    transparency = image.info.get("transparency")
    if rawmode in ("L;2", "L;4") and isinstance(transparency, int):
        # Pillow scales the pixels of these PNGs, but not the transparent grey level.
        depth = int(rawmode[-1])
        transparency = (transparency & (1 << depth) - 1) * 255 // ((1 << depth) - 1)
    space = "L" if image.mode.startswith("I") else image.mode.removesuffix("A").removesuffix("a")
    if space in ("P", "1"):
        space = "RGB" if space == "P" else "L"
    return _Plan(
        transform_to_srgb(image.info.get("icc_profile"), space),
        transparency,
        low_bytes,
        deep_white=(1 << bits) - 1 if 8 < bits <= 16 else DEEP_WHITE,
        is_white_zero=tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO,
        # Many programs write 32-bit BMPs with an all-zero alpha channel.
        is_alpha_unused=image.format in ("BMP", "DIB")
        and image.mode == "RGBA"
        and image.getchannel("A").getextrema() == (0, 0),
    )


def _check_samples(mode: str, tags: Any, name: str) -> None:
    sample_format = max(_numbers(tags.get(TIFF_SAMPLE_FORMAT, 1)))
    bits = max(_numbers(tags.get(TIFF_BITS, 16)))
    kind = ""
    if mode == "F" or sample_format == 3:
        kind = "floating-point"
    elif sample_format == 2:
        kind = "signed"
    elif mode == "I" and bits > 16:
        kind = f"{bits}-bit"
    if kind:
        raise ImageError(
            name,
            f"has {kind} grey levels, whose black and white are not defined; "
            "save it with 8 or 16 bits, unsigned.",
        )


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) and value else (value or 0,)


def _convert(image: Image.Image, plan: _Plan, name: str, *, is_ours: bool) -> Image.Image:
    if image.mode == "RGB" and plan.transparency is None:
        if plan.transform is None:
            return image
        if is_ours:
            return plan.transform(image)
    width, height = image.size
    rows = max(1, BAND_PIXELS // width)
    if rows >= height:
        rgb, alpha = _band_to_rgb(image, plan, name, plan.low_bytes)
        return rgb if alpha is None else _on_white(rgb, alpha)
    result = Image.new("RGB", image.size, WHITE)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        low_bytes = plan.low_bytes and plan.low_bytes.crop(box)
        rgb, alpha = _band_to_rgb(image.crop(box), plan, name, low_bytes)
        result.paste(rgb, (0, top), alpha)
    return result


def _on_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", rgb.size, WHITE)
    canvas.paste(rgb, (0, 0), alpha)
    return canvas


def _band_to_rgb(
    band: Image.Image, plan: _Plan, name: str, low_bytes: Image.Image | None
) -> tuple[Image.Image, Image.Image | None]:
    """The band as RGB, and its alpha if it has any."""
    colours, alpha = _colours_and_alpha(band, plan, name, low_bytes)
    if plan.transform is None:
        return colours.convert("RGB") if colours.mode != "RGB" else colours, alpha
    # The transform works in place, but the band may be the caller's image.
    return plan.transform(colours.copy() if colours is band else colours), alpha


def _colours_and_alpha(
    band: Image.Image, plan: _Plan, name: str, low_bytes: Image.Image | None
) -> tuple[Image.Image, Image.Image | None]:
    """The band as RGB, L, CMYK, or another mode without alpha; and its alpha, if it has any."""
    transparency = plan.transparency
    if band.mode.startswith("I"):
        return _from_deep_grey(band, plan, name)
    if band.mode == "RGB" and transparency is not None:
        return band, _colour_key(band, transparency, low_bytes)
    if band.mode in ("L", "1") and isinstance(transparency, int):
        grey = band.convert("L")
        return grey, _mask(np.asarray(grey) != transparency & 255)
    if band.mode in ("LA", "La"):
        grey = band.convert("LA")
        return grey.getchannel("L"), grey.getchannel("A")
    if band.mode in WITH_ALPHA or transparency is not None:
        rgba = band if band.mode == "RGBA" else band.convert("RGBA")
        return rgba.convert("RGB"), None if plan.is_alpha_unused else rgba.getchannel("A")
    return (band.convert("RGB") if band.mode == "P" else band), None


def _from_deep_grey(
    band: Image.Image, plan: _Plan, name: str
) -> tuple[Image.Image, Image.Image | None]:
    """16-bit grey to 8 bits. Pillow's own convert() clips at 255, which turns photos white."""
    values = np.asarray(band)
    if values.min() < 0 or values.max() > DEEP_WHITE:
        raise ImageError(name, "has grey levels outside of 0 to 65535; save it with 8 or 16 bits.")
    white = plan.deep_white
    grey = (np.minimum(values.astype(np.uint32), white) * 255 + white // 2) // white
    if plan.is_white_zero:
        grey = 255 - grey
    alpha = _mask(values != plan.transparency) if isinstance(plan.transparency, int) else None
    return Image.fromarray(grey.astype(np.uint8)), alpha


def _colour_key(
    band: Image.Image, transparent: tuple[int, int, int], low_bytes: Image.Image | None
) -> Image.Image:
    """The alpha of an RGB image that has a transparent colour."""
    is_deep = low_bytes is not None or max(transparent) > 255
    is_other = _differs(band, [each >> 8 if is_deep else each for each in transparent])
    if low_bytes is not None:
        is_other |= _differs(low_bytes, [each & 255 for each in transparent])
    return _mask(is_other)


def _differs(band: Image.Image, colour: Sequence[int]) -> NDArray[np.bool_]:
    """(H, W): whether a pixel differs from a colour; twice as fast as a test along an axis."""
    pixels = np.asarray(band)
    red, green, blue = (pixels[:, :, at] != level for at, level in enumerate(colour))
    differs: NDArray[np.bool_] = red | green | blue
    return differs


def _mask(is_opaque: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(is_opaque.astype(np.uint8) * np.uint8(255))


def _on_white_canvas(image: Image.Image, extents: tuple[int, int, int, int]) -> Image.Image:
    """A GIF's first frame that is smaller than its canvas: the area outside is transparent."""
    if extents == (0, 0, *image.size):
        return image
    canvas = Image.new("RGB", image.size, WHITE)
    canvas.paste(image.crop(extents), extents[:2])
    return canvas
