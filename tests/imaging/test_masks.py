"""The files of masks give their values as stored; a file that has no values is refused."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging.masks import decode_mask, tally

INDICES = np.random.default_rng(0).integers(0, 4, (20, 30)).astype(np.uint8)
COLOURS = np.array([[60, 16, 152], [0, 0, 0], [255, 0, 0], [9, 9, 9]], np.uint8)


def _file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _palette_image() -> Image.Image:
    image = Image.fromarray(INDICES).convert("P")
    image.putpalette(COLOURS.tobytes())
    return image


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_palette_gives_its_indices_and_its_colours(bits: int) -> None:
    mask = decode_mask(_file(_palette_image(), bits=bits))
    assert mask.kind == "palette"
    assert mask.palette[:4] == (0x3C1098, 0, 0xFF0000, 0x090909)
    np.testing.assert_array_equal(mask.values, INDICES)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_formats_that_keep_values(kind: str) -> None:
    image = Image.fromarray(COLOURS[INDICES]) if kind == "WEBP" else Image.fromarray(INDICES)
    mask = decode_mask(_file(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert sorted(tally(mask).values()) == sorted(np.bincount(INDICES.ravel()).tolist())


@pytest.mark.parametrize(
    "pixels", [INDICES, INDICES.astype(np.uint16), np.stack([INDICES] * 3, axis=2)]
)
def test_grey_levels_of_any_depth_and_grey_in_three_channels(pixels: Any) -> None:
    mask = decode_mask(_file(Image.fromarray(pixels)))
    assert mask.kind == "grey"
    np.testing.assert_array_equal(mask.values, INDICES)
    assert mask.size == (30, 20)


def _png_of_few_bits(width: int, depth: int, row: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, 1, depth, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("depth", "row", "levels"),
    [(4, b"\x01\x2f", [0, 1, 2, 15]), (2, b"\x1b", [0, 1, 2, 3]), (1, b"\x50", [0, 1, 0, 1])],
)
def test_grey_levels_of_few_bits_are_not_stretched(
    depth: int, row: bytes, levels: list[int]
) -> None:
    assert decode_mask(_png_of_few_bits(4, depth, row)).values.tolist() == [levels]


def test_colours_are_counted() -> None:
    mask = decode_mask(_file(Image.fromarray(COLOURS[INDICES])))
    assert mask.kind == "colour"
    counts = np.bincount(INDICES.ravel()).tolist()
    assert tally(mask) == {0: counts[1], 0x090909: counts[3], 0x3C1098: counts[0],
                           0xFF0000: counts[2]}  # fmt: skip


def test_a_mask_is_turned_like_its_photo() -> None:
    mask = decode_mask(_file(_palette_image()), 6)
    np.testing.assert_array_equal(mask.values, np.rot90(INDICES, -1))
    assert mask.palette[0] == 0x3C1098


def test_the_digest_is_of_values_and_palette() -> None:
    one = decode_mask(_file(_palette_image(), bits=8))
    assert one.digest == decode_mask(_file(_palette_image(), compress_level=1)).digest
    assert one.digest != decode_mask(_file(Image.fromarray(INDICES))).digest
    assert one.digest != decode_mask(_file(_palette_image()), 3).digest


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (_file(Image.fromarray(COLOURS[INDICES]), "JPEG"), "saved as JPEG, which changes the val"),
        (_file(Image.fromarray(COLOURS[INDICES]), "WEBP"), "saved as lossy WebP"),
        (_file(Image.fromarray(COLOURS[INDICES]), "TIFF", compression="jpeg"), "JPEG in TIFF"),
        (_file(Image.fromarray(COLOURS[INDICES]).convert("CMYK"), "TIFF"), "the kind CMYK"),
        (_file(Image.fromarray(INDICES.astype(np.float32)), "TIFF"), "the kind F"),
        (_file(Image.fromarray(INDICES.astype(np.int32) - 3), "TIFF"), "values from -3 to 0"),
        (_file(Image.new("RGBA", (4, 4), (9, 9, 9, 0))), "partly transparent"),
        (_file(Image.fromarray(INDICES))[:60], "truncated or damaged"),
        (b"no image at all", "not an image"),
        (b"", "empty"),
    ],
)
def test_what_has_no_values_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(ImageError, match=complaint):
        decode_mask(content)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    idat = zlib.compress(b"\0" * 100)
    bomb += (
        struct.pack(">I", len(idat))
        + b"IDAT"
        + idat
        + struct.pack(">I", zlib.crc32(b"IDAT" + idat))
    )
    with pytest.raises(ImageError, match="more than 150,000,000 pixels"):
        decode_mask(bomb)


def test_a_mask_with_as_many_colours_as_a_photo_is_refused() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (90, 90, 3)).astype(np.uint8)
    with pytest.raises(ImageError, match="different colours"):
        tally(decode_mask(_file(Image.fromarray(pixels))))
