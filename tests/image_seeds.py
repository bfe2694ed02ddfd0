"""Small image files of every kind that is read, for the tests of decoding and for fuzzing."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import draw_image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    size: tuple[int, int],
    depth: int,
    colour_type: int,
    rows: Sequence[bytes],
    chunks: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """A PNG of unfiltered rows, of any bit depth and colour type."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
    content += b"".join(_chunk(name, data) for name, data in (chunks or {}).items())
    return (
        content
        + _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + _chunk(b"IEND", b"")
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def tiff(data: bytes, tags: Mapping[int, int], *, big_endian: bool = False) -> bytes:
    """A TIFF of one strip; every tag is one LONG. Width, length and bits are the caller's."""
    order = ">" if big_endian else "<"
    given = {277: 1, 259: 1, 278: tags[257], 279: len(data), **tags}
    given[273] = 8 + 2 + 12 * (len(given) + 1) + 4
    content = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "IH", 8, len(given))
    for tag, value in sorted(given.items()):
        content += struct.pack(order + "HHII", tag, 4, 1, value)
    return content + bytes(4) + data


def icc_profile(
    primaries: Sequence[tuple[float, float, float]] = (
        (0.5151, 0.2412, -0.0011),
        (0.2920, 0.6922, 0.0419),
        (0.1571, 0.0666, 0.7841),
    ),
    gamma: float = 2.2,
    space: bytes = b"RGB ",
) -> bytes:
    """An ICC profile of three primaries (XYZ, adapted to D50; Display P3's) and a gamma curve.

    With `space` b"GRAY", of a grey axis and the gamma alone.
    """  # fmt: skip
    curve = b"curv" + bytes(4) + struct.pack(">IH2x", 1, round(gamma * 256))
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": _xyz((0.9642, 1, 0.8249)),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for letter, primary in zip(b"rgb", primaries, strict=True):
            tags[bytes([letter]) + b"XYZ"] = _xyz(primary)
            tags[bytes([letter]) + b"TRC"] = curve
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content
    head = struct.pack(">I4xI4s4s4s12x4s28x", place + len(body), 0x02100000, b"mntr", space,
                       b"XYZ ", b"acsp")  # fmt: skip
    head += struct.pack(">iii", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def seeds(kind: str) -> dict[str, bytes]:
    """Good files of one format, a name each."""
    image = draw_image(1, 3, (24, 18))
    return {
        "JPEG": _jpegs, "PNG": _pngs, "WEBP": _webps, "GIF": _gifs, "BMP": _bmps, "TIFF": _tiffs,
        "HEIF": _heics, "AVIF": _avifs,
    }[kind](image)  # fmt: skip


def heic(image: Image.Image, **options: object) -> bytes:
    """A HEIC file by pillow-heif, without which the test is skipped.

    Options are those of its `save`. Orientation in `exif` (bytes) becomes the file's own; the
    pixels are stored as they are.
    """
    library = pytest.importorskip("pillow_heif", reason="HEIC files are made by pillow-heif")
    buffer = io.BytesIO()
    library.from_pillow(image).save(buffer, **{"quality": 90, **options})
    return buffer.getvalue()


def deep_heic(pixels: NDArray[np.uint16], **options: object) -> bytes:
    """(H, W, 3) of 16 bits as a HEIC file of 10."""
    library = pytest.importorskip("pillow_heif", reason="HEIC files are made by pillow-heif")
    buffer = io.BytesIO()
    image = library.from_bytes("RGB;16", pixels.shape[1::-1], pixels.tobytes())
    image.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def _heics(image: Image.Image) -> dict[str, bytes]:
    wide = image.copy()
    wide.info["icc_profile"] = icc_profile()
    return {
        "plain": heic(image),
        "turned": heic(image, exif=_exif().tobytes()),
        "alpha": heic(image.convert("RGBA")),
        "grey": heic(image.convert("L")),
        "tiles": heic(image.resize((150, 100)), tile_size=64),
        "wide gamut": heic(wide),
        "10 bit": deep_heic(np.asarray(image).astype(np.uint16) * 257),
    }


def _avifs(image: Image.Image) -> dict[str, bytes]:
    return {
        "plain": encoded(image, "AVIF"),
        "turned": encoded(image, "AVIF", exif=_exif()),
        "alpha": encoded(image.convert("RGBA"), "AVIF"),
        "wide gamut": encoded(image, "AVIF", icc_profile=icc_profile()),
        "animation": encoded(image, "AVIF", save_all=True, append_images=[image.rotate(90)]),
    }


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _jpegs(image: Image.Image) -> dict[str, bytes]:
    return {
        "baseline": encoded(image, "JPEG"),
        "progressive": encoded(image, "JPEG", progressive=True),
        "grey": encoded(image.convert("L"), "JPEG"),
        "cmyk": encoded(image.convert("CMYK"), "JPEG"),
        "turned": encoded(image, "JPEG", exif=_exif()),
        "wide gamut": encoded(image, "JPEG", icc_profile=icc_profile()),
        "stereo": encoded(image, "MPO", save_all=True, append_images=[image]),
    }


def _pngs(image: Image.Image) -> dict[str, bytes]:
    deep = [struct.pack(">6H", 65535, 32768, 0, 1, 2, 3)] * 2
    return {
        "rgb": encoded(image, "PNG"),
        "rgba": encoded(image.convert("RGBA"), "PNG"),
        "la": encoded(image.convert("LA"), "PNG"),
        "palette": encoded(image.quantize(16), "PNG", transparency=1),
        "one bit": encoded(image.convert("1"), "PNG"),
        "colour key": encoded(image, "PNG", transparency=(255, 0, 255)),
        "16 bit grey": encoded(Image.fromarray(np.arange(432, dtype=np.uint16).reshape(18, 24)),
                               "PNG"),
        "16 bit rgb": png((2, 2), 16, 2, deep, {b"tRNS": struct.pack(">3H", 1, 2, 3)}),
        "2 bit grey": png((4, 1), 2, 0, [b"\x1b"], {b"tRNS": b"\0\2"}),
        "profile": encoded(image, "PNG", icc_profile=icc_profile(), exif=_exif()),
        "animation": encoded(image, "PNG", save_all=True, append_images=[image.rotate(90)]),
    }  # fmt: skip


def _webps(image: Image.Image) -> dict[str, bytes]:
    return {
        "lossy": encoded(image, "WEBP"),
        "lossless": encoded(image, "WEBP", lossless=True),
        "alpha": encoded(image.convert("RGBA"), "WEBP"),
        "extended": encoded(image, "WEBP", icc_profile=icc_profile(), exif=_exif()),
        "animation": encoded(image, "WEBP", save_all=True, append_images=[image.rotate(90)]),
    }


def _gifs(image: Image.Image) -> dict[str, bytes]:
    return {
        "still": encoded(image.quantize(16), "GIF"),
        "transparent": encoded(image.quantize(16), "GIF", transparency=3),
        "grey": encoded(image.convert("L"), "GIF", comment=b"a comment"),
        "animation": encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
    }


def _bmps(image: Image.Image) -> dict[str, bytes]:
    plain = encoded(image.quantize(16), "BMP")
    # One run of five for each row of a 5x2 picture, then the end.
    runs = b"\5\1\0\0\5\2\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, 5, 2, 1, 8, 1, len(runs), 0, 0, 4, 0)
    palette = bytes(range(16))
    start = 14 + len(header) + len(palette)
    return {
        "rgb": encoded(image, "BMP"),
        "rgba": encoded(image.convert("RGBA"), "BMP"),
        "palette": plain,
        "one bit": encoded(image.convert("1"), "BMP"),
        "runs": b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + palette
        + runs,
    }  # fmt: skip


def _tiffs(image: Image.Image) -> dict[str, bytes]:
    grey = bytes(range(48))
    return {
        "raw": encoded(image, "TIFF"),
        "lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "deflate": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg": encoded(image, "TIFF", compression="jpeg"),
        "packbits": encoded(image.quantize(16), "TIFF", compression="packbits"),
        "fax": encoded(image.convert("1"), "TIFF", compression="group4"),
        "rgba": encoded(image.convert("RGBA"), "TIFF"),
        "cmyk": encoded(image.convert("CMYK"), "TIFF"),
        "lab": encoded(Image.new("LAB", (4, 4), (128, 128, 128)), "TIFF"),
        "profile": encoded(image, "TIFF", icc_profile=icc_profile()),
        "12 bit": tiff(grey, {256: 8, 257: 4, 258: 12, 262: 1}),
        "16 bit": tiff(grey, {256: 6, 257: 4, 258: 16, 262: 0}, big_endian=True),
        "float": tiff(grey, {256: 3, 257: 4, 258: 32, 262: 1, 339: 3}),
        "big": encoded(image, "TIFF", big_tiff=True),
        "pages": encoded(image, "TIFF", save_all=True, append_images=[image]),
    }
