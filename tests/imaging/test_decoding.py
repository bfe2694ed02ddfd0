"""Every kind of image becomes the upright RGB that a person sees, or an error with its name."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging import limits as image_limits
from pplcnet.imaging.decoding import decode
from tests.conftest import draw_image

RED, GREEN = (200, 30, 20), (20, 180, 40)


def _two_halves() -> Image.Image:
    """Red above green, 24 wide and 16 high."""
    image = Image.new("RGB", (24, 16), RED)
    image.paste(GREEN, (0, 8, 24, 16))
    return image


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _assert_two_halves(image: Image.Image, tolerance: int = 12) -> None:
    assert (image.mode, image.size) == ("RGB", (24, 16))
    pixels = np.asarray(image).astype(int)
    assert np.abs(pixels[3, 12] - RED).max() <= tolerance
    assert np.abs(pixels[12, 12] - GREEN).max() <= tolerance


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_every_format(kind: str, options: dict) -> None:
    _assert_two_halves(decode(_encoded(_two_halves(), kind, **options)))


def test_the_first_frame_of_an_animation() -> None:
    frames = [_two_halves(), Image.new("RGB", (24, 16), "blue")]
    content = _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    _assert_two_halves(decode(content))


def test_the_first_image_of_a_stereo_jpeg() -> None:
    other = [Image.new("RGB", (24, 16), "blue")]
    content = _encoded(_two_halves(), "MPO", save_all=True, append_images=other, quality=95)
    _assert_two_halves(decode(content))


def test_palette_and_cmyk() -> None:
    _assert_two_halves(decode(_encoded(_two_halves().quantize(4), "PNG")))
    _assert_two_halves(decode(_encoded(_two_halves().convert("CMYK"), "JPEG", quality=95)))


def test_transparency_is_laid_on_white() -> None:
    for mode, colour in (("RGBA", (0, 0, 0, 0)), ("LA", (0, 0))):
        image = decode(_encoded(Image.new(mode, (4, 4), colour), "PNG"))
        assert image.getpixel((1, 1)) == (255, 255, 255)
    half = decode(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))
    assert half.getpixel((0, 0)) == (127, 127, 127)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert decode(_encoded(palette, "PNG", transparency=1)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (32768, 128), (65535, 255)])
def test_16_bit_grey_is_scaled_and_not_clipped(value: int, expected: int) -> None:
    deep = Image.fromarray(np.full((4, 6), value, np.uint16))
    for kind in ("PNG", "TIFF"):
        assert decode(_encoded(deep, kind)).getpixel((0, 0)) == (expected,) * 3


def test_16_bit_rgb() -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    row = b"\0" + struct.pack(">3H", 65535, 32768, 0) * 2
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    assert decode(content).getpixel((1, 1)) == (255, 128, 0)


TRANSPOSED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", TRANSPOSED)
def test_exif_orientation_is_undone_once(orientation: int, kind: str) -> None:
    stored = _two_halves()
    if TRANSPOSED[orientation] is not None:
        stored = stored.transpose(TRANSPOSED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encoded(stored, kind, quality=95, exif=exif)
    _assert_two_halves(decode(content))
    _assert_two_halves(decode(Image.open(io.BytesIO(content))))


def test_arrays_and_pil_images() -> None:
    pixels = np.asarray(_two_halves())
    _assert_two_halves(decode(pixels), 0)
    _assert_two_halves(decode(_two_halves()), 0)
    _assert_two_halves(decode(np.dstack([pixels, np.full((16, 24), 255, np.uint8)])), 0)
    grey = np.full((5, 7), 90, np.uint8)
    assert decode(grey).getpixel((0, 0)) == (90, 90, 90)
    assert decode(grey[:, :, None]).size == (7, 5)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8),
     np.zeros((0, 4, 3), np.uint8)],
    ids=["float", "two channels", "flat", "empty"],
)  # fmt: skip
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="the array of shape"):
        decode(array)


def test_files_that_are_no_image_are_named(tmp_path: Path) -> None:
    whole = _encoded(draw_image(0, 0, (400, 300)), "JPEG")
    png = _encoded(draw_image(0, 0), "PNG")
    cases = {
        "empty.jpg": (b"", "zero bytes"),
        "text.jpg": (b"hello, this is text", "not an image"),
        "page.png": (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "an SVG drawing",
        ),
        "cut.jpg": (whole[: len(whole) // 2], "truncated or damaged"),
        "cut.png": (png[: len(png) // 2], "truncated or damaged"),
        "head.png": (png[:20], "truncated or damaged"),
    }
    for name, (content, complaint) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ImageError, match=complaint) as caught:
            decode(path)
        assert caught.value.source == str(path)
    with pytest.raises(ImageError, match="cannot be read"):
        decode(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        decode(tmp_path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    side = 60_000
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    content += struct.pack(">I", zlib.crc32(chunk))
    content += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(ImageError, match="pixels"):
        decode(content)


def test_the_pixel_limit_counts_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_limits, "MAX_PIXELS", 24 * 16)
    decode(_encoded(_two_halves(), "PNG"))
    monkeypatch.setattr(image_limits, "MAX_PIXELS", 24 * 16 - 1)
    with pytest.raises(ImageError, match="24x16 pixels; at most 383"):
        decode(_encoded(_two_halves(), "PNG"))


def test_a_jpeg_may_be_decoded_smaller() -> None:
    content = _encoded(draw_image(1, 0, (640, 480)), "JPEG")
    assert decode(content, at_least=100).size == (160, 120)
    assert decode(content, at_least=121).size == (320, 240)
    assert decode(content).size == (640, 480)


JPEG = _encoded(draw_image(2, 0, (32, 24)), "JPEG")
PNG = _encoded(draw_image(2, 0, (32, 24)), "PNG")


@given(st.sampled_from([JPEG, PNG]), st.data())
def test_a_damaged_file_gives_an_image_or_an_image_error(whole: bytes, data) -> None:
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    with contextlib.suppress(ImageError):
        assert decode(bytes(content)).mode == "RGB"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_truncated_pil_image_is_an_image_error(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = _encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match="the PIL image: truncated or damaged"):
        decode(Image.open(io.BytesIO(content[: len(content) // 2])))
