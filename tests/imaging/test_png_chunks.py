"""What a PNG says beside its pixels never decides whether it is read."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pplcnet.imaging.decoding import decode
from pplcnet.imaging.structure import png_without_extras
from tests.conftest import draw_image
from tests.image_seeds import encoded, icc_profile

PHOTO = draw_image(1, 3, (40, 30))
LARGE = zlib.compress(bytes(3_000_000))


def _chunk(name: bytes, data: bytes, *, checksum_off_by: int = 0) -> bytes:
    checksum = zlib.crc32(name + data) ^ checksum_off_by
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def _with(*chunks: bytes, before: bytes = b"IDAT") -> bytes:
    content = encoded(PHOTO, "PNG")
    at = content.index(before) - 4
    return content[:at] + b"".join(chunks) + content[at:]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "chunk",
    [
        _chunk(b"zTXt", b"workflow\0\0" + LARGE),
        _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
        _chunk(b"zTXt", b"workflow\0\1abc"),
        _chunk(b"tEXt", b"Author\0me", checksum_off_by=1),
        _chunk(b"gAMA", b""),
        _chunk(b"pHYs", b"ab"),
        _chunk(b"acTL", b""),
        _chunk(b"iCCP", b"P3\0\0" + zlib.compress(os.urandom(2000))),
        _chunk(b"iCCP", b"P3\0\0abc", checksum_off_by=1),
        _chunk(b"eXIf", b"zz", checksum_off_by=1),
        _chunk(b"vpAg", b""),
    ],
)
def test_large_or_damaged_metadata_does_not_spoil_a_png(chunk: bytes, before: bytes) -> None:
    seen = decode(_with(chunk, before=before))
    assert np.array_equal(np.asarray(seen), np.asarray(PHOTO.convert("RGB")))


def test_a_profile_beside_damaged_texts_still_counts() -> None:
    profile = icc_profile()
    content = encoded(PHOTO, "PNG", icc_profile=profile)
    at = content.index(b"IDAT") - 4
    damaged = content[:at] + _chunk(b"zTXt", b"a\0\1") + content[at:]
    assert np.array_equal(np.asarray(decode(damaged)), np.asarray(decode(content)))
    assert not np.array_equal(np.asarray(decode(damaged)), np.asarray(PHOTO))


def test_the_orientation_may_stand_in_xmp_alone() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    content = _with(
        _chunk(b"zTXt", b"workflow\0\0" + LARGE),
        _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
    )
    assert decode(content).size == (30, 40)


def test_of_thousands_of_profiles_one_is_unpacked() -> None:
    profile = _chunk(b"iCCP", b"P3\0\0" + zlib.compress(icc_profile()))
    content = _with(*[profile] * 3000)
    assert png_without_extras(content).count(b"iCCP") == 1
    assert decode(content).size == PHOTO.size


def test_a_plain_png_is_not_copied() -> None:
    content = encoded(PHOTO, "PNG")
    assert png_without_extras(content) is content
    assert png_without_extras(_with(_chunk(b"tIME", bytes(7)))) == content


def test_transparency_stays() -> None:
    image = Image.new("RGB", (4, 4), (255, 0, 255))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=(255, 0, 255))
    assert png_without_extras(buffer.getvalue(), bare=True) == buffer.getvalue()
