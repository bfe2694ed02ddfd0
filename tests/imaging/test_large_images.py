"""Large images come in bands of the same pixels, in less memory than they take as a whole."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging import decoding, jpeg_bands, large_images, tiff_bands
from pplcnet.imaging import limits as image_limits
from pplcnet.imaging.decoding import decode
from pplcnet.imaging.large_images import open_bands
from tests.conftest import draw_image
from tests.image_seeds import encoded, icc_profile

PHOTO = draw_image(1, 3, (90, 75))
DEEP = Image.fromarray((np.asarray(PHOTO.convert("L")).astype(np.uint16) << 8) + 77)


@pytest.fixture(autouse=True)
def _every_image_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_images, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(large_images, "ROWS", 16)


def _turned(image: Image.Image, orientation: int) -> dict[str, object]:
    exif = image.getexif()
    exif[0x0112] = orientation
    return {"exif": exif}


def _tiles(*, planes: int = 1, order: str = "<", deflated: bool = True) -> bytes:
    """An RGB TIFF of tiles of 32x16, which Pillow cannot write."""
    pixels = np.pad(np.asarray(PHOTO), ((0, 5), (0, 6), (0, 0)))
    parts = [pixels] if planes == 1 else [pixels[:, :, at : at + 1] for at in range(3)]
    tiles = [
        part[top : top + 16, left : left + 32].tobytes()
        for part in parts
        for top in range(0, 80, 16)
        for left in range(0, 96, 32)
    ]
    packed = [zlib.compress(each) if deflated else each for each in tiles]
    tags: dict[int, list[int]] = {
        256: [90], 257: [75], 258: [8, 8, 8], 259: [8 if deflated else 1], 262: [2], 277: [3],
        284: [1 if planes == 1 else 2], 322: [32], 323: [16],
        324: [0] * len(packed), 325: [len(each) for each in packed],
    }  # fmt: skip
    place = 8 + 2 + 12 * len(tags) + 4
    data_at = place + sum(4 * len(each) for each in tags.values() if len(each) > 1)
    tags[324] = [data_at + sum(map(len, packed[:at])) for at in range(len(packed))]
    table, values = b"", b""
    for tag, numbers in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(numbers)}L", *numbers)
        if len(numbers) > 1:
            values, raw = values + raw, struct.pack(order + "L", place + len(values))
        table += struct.pack(order + "HHL", tag, 4, len(numbers)) + raw
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "LH", 8, len(tags))
    return head + table + bytes(4) + values + b"".join(packed)


FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(PHOTO, "JPEG"),
    "jpeg, grey": lambda: encoded(PHOTO.convert("L"), "JPEG"),
    "jpeg, profile": lambda: encoded(PHOTO, "JPEG", icc_profile=icc_profile()),
    **{
        f"jpeg, orientation {at}": lambda at=at: encoded(PHOTO, "JPEG", **_turned(PHOTO, at))
        for at in range(2, 9)
    },
    "tiff in one strip": lambda: encoded(PHOTO, "TIFF", strip_size=1 << 30),
    "tiff in strips": lambda: encoded(PHOTO, "TIFF", strip_size=1000),
    "tiff, LZW": lambda: encoded(PHOTO, "TIFF", compression="tiff_lzw", strip_size=1000),
    "tiff, JPEG": lambda: encoded(PHOTO, "TIFF", compression="jpeg", strip_size=90 * 3 * 16),
    "tiff, big": lambda: encoded(PHOTO, "TIFF", big_tiff=True, strip_size=1000),
    "tiff, palette": lambda: encoded(PHOTO.convert("P"), "TIFF", strip_size=100),
    "tiff, 16 bits": lambda: encoded(DEEP, "TIFF", strip_size=1000),
    "tiff, bits": lambda: encoded(PHOTO.convert("1"), "TIFF", strip_size=1 << 30),
    "tiff, CMYK": lambda: encoded(PHOTO.convert("CMYK"), "TIFF", strip_size=1000),
    "tiff, alpha": lambda: encoded(PHOTO.convert("RGBA"), "TIFF", strip_size=1000),
    "tiff, profile": lambda: encoded(PHOTO, "TIFF", icc_profile=icc_profile(), strip_size=1000),
    "tiff in tiles": _tiles,
    "tiff in tiles, big-endian": lambda: _tiles(order=">", deflated=False),
    "tiff in tiles and planes": lambda: _tiles(planes=3),
    "png": lambda: encoded(PHOTO, "PNG"),
    "png, grey": lambda: encoded(PHOTO.convert("L"), "PNG"),
    "png, palette": lambda: encoded(PHOTO.quantize(50), "PNG", transparency=3),
    "png, alpha": lambda: encoded(_with_alpha("RGBA"), "PNG"),
    "png, grey and alpha": lambda: encoded(_with_alpha("LA"), "PNG"),
    "png, profile": lambda: encoded(PHOTO, "PNG", icc_profile=icc_profile()),
    "png, colour key": lambda: encoded(PHOTO, "PNG", transparency=PHOTO.getpixel((3, 3))),
    "png, upright by EXIF": lambda: encoded(PHOTO, "PNG", **_turned(PHOTO, 1)),
}


def _with_alpha(mode: str) -> Image.Image:
    image = PHOTO.convert(mode)
    image.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
    return image


def _bands(source: object, **options: int) -> list[np.ndarray]:
    with open_bands(source, **options) as bands:
        parts = list(bands.parts)
        assert bands.size == (parts[0].shape[1], sum(map(len, parts)))
    return parts


@pytest.fixture
def never_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is decoded that has as many pixels as the photo."""

    def check(size: tuple[int, int], name: str, most: int | None = None) -> None:
        assert most is not None or size[0] * size[1] < 90 * 75

    monkeypatch.setattr(decoding, "check_pixels", check)


@pytest.mark.usefixtures("never_whole")
@pytest.mark.parametrize("kind", FILES)
def test_bands_have_the_pixels_of_the_whole_image(kind: str, tmp_path: Path) -> None:
    content = FILES[kind]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "check_pixels", lambda *_: None)
        expected = np.asarray(decode(content))
    if kind.startswith("jpeg"):
        pytest.importorskip("simplejpeg")
    (tmp_path / "photo").write_bytes(content)
    for source in (content, tmp_path / "photo", io.BytesIO(content)):
        parts = _bands(source)
        assert len(parts) >= 4
        np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize(
    "source",
    [
        encoded(DEEP, "PNG"),
        encoded(PHOTO, "PNG", **_turned(PHOTO, 6)),
        encoded(PHOTO, "TIFF", **_turned(PHOTO, 3)),
        encoded(PHOTO.convert("CMYK"), "JPEG"),
        encoded(PHOTO, "BMP"),
        encoded(PHOTO, "WEBP"),
        PHOTO,
        np.asarray(PHOTO),
        np.asarray(PHOTO.convert("L")),
    ],
    ids=["deep png", "turned png", "turned tiff", "cmyk", "bmp", "webp", "pil", "array", "grey"],
)
def test_what_has_no_parts_is_decoded_as_ever(source: object) -> None:
    np.testing.assert_array_equal(np.concatenate(_bands(source)), np.asarray(decode(source)))


@pytest.mark.parametrize("kind", ["tiff in one strip", "tiff, LZW", "tiff in tiles", "png"])
def test_an_image_that_takes_too_much_memory_fits_in_bands(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = FILES[kind]()
    monkeypatch.setattr(image_limits, "MAX_MEMORY_BYTES", 36_000)
    with pytest.raises(ImageError, match="to decode"):
        decode(content)
    assert sum(map(len, _bands(content))) == 75


def test_a_jpeg_takes_three_bytes_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("simplejpeg")
    content = encoded(PHOTO, "JPEG")
    given_back: list[int] = []
    monkeypatch.setattr(jpeg_bands, "_give_back", lambda _, end: given_back.append(end))
    monkeypatch.setattr(jpeg_bands, "MAX_MEMORY_BYTES", 3 * 90 * 75 + len(content))
    _bands(content)
    assert given_back[-1] == 3 * 90 * 75
    monkeypatch.setattr(jpeg_bands, "MAX_MEMORY_BYTES", 3 * 90 * 75)
    with pytest.raises(ImageError, match="90x75 pixels in a JPEG that takes"):
        _bands(content)
    # A progressive one is held as coefficients too.
    monkeypatch.setattr(jpeg_bands, "MAX_MEMORY_BYTES", 3 * 90 * 75 + 2 * len(content))
    with pytest.raises(ImageError, match="Save it as a TIFF in tiles"):
        _bands(encoded(PHOTO, "JPEG", progressive=True))


def test_a_large_jpeg_needs_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg_bands, "optional_module", lambda _: None)
    content = encoded(PHOTO, "JPEG")
    np.testing.assert_array_equal(np.concatenate(_bands(content)), np.asarray(decode(content)))
    monkeypatch.setattr(jpeg_bands, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="needs simplejpeg"):
        _bands(content)


@pytest.mark.parametrize("kind", ["jpeg", "tiff in tiles", "png"])
def test_the_limit_of_pixels_is_stated(kind: str) -> None:
    with pytest.raises(
        ImageError, match="has 90x75 pixels; at most 6,749 are processed in windows"
    ):
        _bands(FILES[kind](), most_pixels=90 * 75 - 1)


def test_a_large_compressed_piece_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_bands, "MAX_PIXELS", 1000)
    content = encoded(PHOTO, "TIFF", compression="tiff_lzw", strip_size=1 << 30)
    with pytest.raises(ImageError, match="in one piece"):
        _bands(content)


def _cuts(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), max(1, len(content) // 40)):
        yield content[:at]
        yield content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        yield content[:at] + b"\xff" * 8 + content[at + 8 :]


@pytest.mark.parametrize("kind", ["tiff in tiles", "tiff, big", "tiff in one strip", "png", "jpeg"])
def test_damage_is_said_in_one_sentence(kind: str) -> None:
    refused = 0
    for content in _cuts(FILES[kind]()):
        try:
            _bands(content)
        except ImageError:
            refused += 1
    assert refused > 40
