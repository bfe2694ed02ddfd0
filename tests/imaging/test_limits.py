"""Memory and work are bounded by what a file's header says, before anything is decoded."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pplcnet.errors import ImageError
from pplcnet.imaging import limits as image_limits
from pplcnet.imaging import structure as image_structure
from pplcnet.imaging.decoding import decode, stated_pixels
from pplcnet.imaging.structure import HEIF_BYTES, HEIF_COPIES
from pplcnet.imaging.tiff_header import read_tiff_header
from tests.conftest import draw_image
from tests.image_seeds import encoded, icc_profile, png, seeds, tiff

PHOTO = draw_image(1, 3, (40, 30))
PIXELS = 40 * 30


def _more_scans(content: bytes, count: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    last = content[content.rfind(b"\xff\xda") : -2]
    return content[:-2] + (between + last) * count + content[-2:]


@pytest.mark.parametrize("between", [b"", b"\xff\xff\xff", b"\xff\xfe\0\4ab"])
def test_a_jpeg_of_hundreds_of_scans_is_refused(between: bytes) -> None:
    progressive = encoded(Image.new("RGB", (2000, 1000)), "JPEG", progressive=True)
    with pytest.raises(ImageError, match="2000x1000 pixels in 410 scans, which takes too long"):
        decode(_more_scans(progressive, 400, between))


def test_a_lent_image_that_is_not_loaded_is_looked_at_too() -> None:
    progressive = encoded(Image.new("RGB", (2000, 1000)), "JPEG", progressive=True)
    with pytest.raises(ImageError, match="in 410 scans, which takes too long"):
        decode(Image.open(io.BytesIO(_more_scans(progressive, 400))))


def test_a_small_jpeg_may_have_many_scans() -> None:
    content = encoded(PHOTO, "JPEG", progressive=True)
    assert decode(_more_scans(content, 60)).size == (40, 30)


def test_scans_of_a_thumbnail_or_behind_the_image_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = encoded(PHOTO, "JPEG", progressive=True)
    monkeypatch.setattr(image_structure, "MAX_SCANNED_PIXELS", 0)
    scans = b"\xff\xda" * 30
    thumbnail = content[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(scans)) + scans + content[2:]
    for each in (thumbnail, content + scans):
        np.testing.assert_array_equal(decode(each), decode(content))


def _memory_at_which(content: bytes, monkeypatch: pytest.MonkeyPatch, **options: int) -> int:
    """The least limit that lets the file through."""
    low, high = 0, 1 << 24
    while low < high:
        middle = (low + high) // 2
        monkeypatch.setattr(image_limits, "MAX_MEMORY_BYTES", middle)
        try:
            decode(content, **options)
            high = middle
        except ImageError as error:
            assert "GB" in str(error)  # noqa: PT017
            low = middle + 1
    return low


@pytest.mark.parametrize(
    ("kind", "mode", "options", "bytes_per_pixel"),
    [
        ("PNG", "RGB", {}, 4),
        ("PNG", "RGBA", {}, 8),
        ("PNG", "L", {}, 5),
        ("PNG", "RGB", {"transparency": (1, 2, 3)}, 8),
        ("JPEG", "RGB", {}, 4),
        ("JPEG", "CMYK", {}, 8),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}, 10),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 2}, 7),
        ("JPEG", "RGB", {"icc_profile": icc_profile()}, 4),
        ("WEBP", "RGB", {}, 16),
        ("GIF", "P", {}, 5),
        ("BMP", "RGB", {}, 4),
        ("AVIF", "RGB", {}, HEIF_BYTES + 4),
    ],
)
def test_memory_counts_the_file_the_pixels_and_the_decoder(
    kind: str, mode: str, options: dict, bytes_per_pixel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(PHOTO.convert(mode), kind, **options)
    needed = _memory_at_which(content, monkeypatch)
    copies = HEIF_COPIES if kind == "AVIF" else 1
    assert needed == copies * len(content) + PIXELS * bytes_per_pixel


@pytest.mark.parametrize(("width", "height"), [(1, 80_000_000), (2, 40_000_000)])
def test_rows_without_number_take_memory_too(width: int, height: int) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = bytearray(png((width, 1), 8, 0, [bytes(width)]))
    content[16:29] = header
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    with pytest.raises(ImageError, match=f"{width}x{height} pixels of a kind that takes .* GB"):
        decode(bytes(content))


def test_turning_an_image_upright_takes_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG"):
        content = encoded(PHOTO, kind, exif=exif)
        assert _memory_at_which(content, monkeypatch) == len(content) + PIXELS * 8


def test_a_jpeg_decoded_smaller_takes_less(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(PHOTO, "JPEG")
    needed = _memory_at_which(content, monkeypatch, at_least=15)
    assert needed == len(content) + PIXELS // 4 * 4


def test_a_strip_or_tile_of_a_tiff_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    size = {256: 10, 257: 10, 258: 8, 262: 1, 259: 8}
    tiles = tiff(bytes(40), {**size, 322: 65536, 323: 65536, 324: 200, 325: 40})
    with pytest.raises(ImageError, match=r"takes 8\.59 GB to decode; at most 1 GB is used"):
        decode(tiles)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8))
    one_strip = {278: 100}
    in_one = encoded(noise, "TIFF", compression="tiff_lzw", tiffinfo=one_strip)
    monkeypatch.setattr(image_limits, "MAX_MEMORY_BYTES", len(in_one) + 10_000 * 5)
    with pytest.raises(ImageError, match="GB to decode"):
        decode(in_one)


@pytest.mark.parametrize("mode", ["RGBA", "F", "I", "CMYK"])
def test_pil_images_and_arrays_have_the_same_limits(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.new(mode, (40, 30))
    monkeypatch.setattr(image_limits, "MAX_MEMORY_BYTES", PIXELS * 8 - 1)
    with pytest.raises(ImageError, match="the PIL image: has 40x30 pixels"):
        decode(image)
    monkeypatch.setattr(image_limits, "MAX_PIXELS", PIXELS - 1)
    with pytest.raises(ImageError, match=r"the array .*: has 40x30 pixels; at most"):
        decode(np.zeros((30, 40, 3), np.uint8))


def _canvas(kind: bytes, data: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "content",
    [
        _canvas(b"VP8X", bytes(4) + b"\xff\x3f\0\xff\x1f\0"),
        _canvas(b"VP8L", b"\x2f" + (0x3FFF | 0x1FFF << 14).to_bytes(4, "little") + bytes(5)),
        _canvas(b"VP8 ", b"\x30\1\0\x9d\1\x2a" + struct.pack("<HH", 16383, 8191)),
    ],
    ids=["extended", "lossless", "lossy"],
)
def test_a_large_webp_is_refused_before_its_canvas_is_made(content: bytes) -> None:
    with pytest.raises(ImageError, match=r"takes 2\.\d\d GB to decode"):
        decode(content)


def _inserted(content: bytes, at: int, piece: bytes) -> bytes:
    return content[:at] + piece + content[at:]


JPEG, PNG = encoded(PHOTO, "JPEG"), encoded(PHOTO, "PNG")
GIF = encoded(PHOTO.quantize(8), "GIF")
EMPTY_CHUNK = bytes(4) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (_inserted(JPEG, 2, b"\xff\xfe\0\2" * 10_000), "a JPEG whose header has too many parts"),
        (_inserted(JPEG, 2, b"\xff" * 200_000), "a JPEG whose header has too many parts"),
        (
            _inserted(JPEG, JPEG.index(b"\xff\xdb"), b"\0" * 200_000),
            "a JPEG whose header has too many parts",
        ),
        (_inserted(PNG, 33, EMPTY_CHUNK * 10_000), "a PNG in too many chunks"),
        (_inserted(GIF, GIF.index(b","), b"!\xfe" + b"\1a" * 30_000 + b"\0"), "too many blocks"),
        (_inserted(GIF, GIF.index(b","), b"!\xfe\0" * 30_000), "too many blocks"),
        (_inserted(GIF, GIF.index(b","), b"\0" * 30_000), "too many blocks"),
    ],
    ids=["segments", "fill bytes", "stray bytes", "chunks", "comment", "extensions", "stray"],
)
def test_files_of_countless_parts_are_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(ImageError, match=complaint):
        decode(content)


def test_a_large_run_length_encoded_bmp_is_refused() -> None:
    content = bytearray(seeds("BMP")["runs"])
    assert decode(bytes(content)).size == (5, 2)
    struct.pack_into("<ii", content, 18, 12_000, -10_000)
    with pytest.raises(ImageError, match="run-length encoded BMP of 12000x10000 pixels"):
        decode(bytes(content))


def _overlapping(count: int, *, with_image: bool) -> bytes:
    """A TIFF directory whose tags all claim the same 10,000 bytes."""
    image = {256: 2, 257: 2, 258: 8, 262: 1, 273: 8} if with_image else {274: 6}
    start = 8 + 2 + 12 * (len(image) + count) + 4
    content = b"II*\0" + struct.pack("<IH", 8, len(image) + count)
    for tag, value in image.items():
        content += struct.pack("<HHII", tag, 4, 1, value)
    for tag in range(40_000, 40_000 + count):
        content += struct.pack("<HHII", tag, 7, 10_000, start)
    return content + bytes(4) + bytes(10_000)


def test_tags_that_share_their_bytes_are_refused_or_ignored() -> None:
    with pytest.raises(ImageError, match="a TIFF whose tags declare more than an image needs"):
        decode(_overlapping(100, with_image=True))
    for count, size in ((0, (1, 2)), (100, (2, 1))):
        exif = _overlapping(count, with_image=False)
        assert decode(png((2, 1), 8, 2, [bytes(6)], {b"eXIf": exif})).size == size


def test_a_chain_of_directories_without_end_is_not_followed() -> None:
    content = bytearray(seeds("TIFF")["12 bit"])
    end = 10 + 12 * struct.unpack_from("<H", content, 8)[0]
    for following in (8, len(content)):
        struct.pack_into("<I", content, end, following)
        chain = b"".join(struct.pack("<HI", 0, len(content) + 6 * at) for at in range(1, 1000))
        assert decode(bytes(content) + chain).size == (8, 4)


@pytest.mark.parametrize("data", [zlib.compress(bytes(3_000_000)), b"\x78\x9c\xff\xff"])
def test_a_png_profile_that_does_not_unpack_is_ignored(data: bytes) -> None:
    for chunk in (b"name\0\0" + data, b"name\0\7" + data):
        assert decode(png((2, 1), 8, 2, [bytes(6)], {b"iCCP": chunk})).size == (2, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_every_cut_of_a_file_is_decoded_or_refused(kind: str) -> None:
    for content in seeds(kind).values():
        for end in range(0, len(content), 1 + len(content) // 40):
            with contextlib.suppress(ImageError):  # some formats give what there is
                assert decode(content[:end]).mode == "RGB"


def test_the_stated_size_needs_no_decoding() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        content = encoded(PHOTO.quantize(8) if kind == "GIF" else PHOTO, kind)
        assert stated_pixels(content) == PIXELS
    assert stated_pixels(b"text") == stated_pixels(b"") == stated_pixels(PNG[:20]) == 0


def test_big_and_small_tiff_headers_say_the_same() -> None:
    files = [encoded(PHOTO, "TIFF", big_tiff=big) for big in (False, True)]
    small, big = (read_tiff_header(each) for each in files)
    for tag in (256, 257, 258, 262, 277):
        assert small.values[tag] == big.values[tag]
    assert read_tiff_header(files[0][:20]) is None
    assert io.BytesIO(files[0]).read(4) == b"II*\0"
