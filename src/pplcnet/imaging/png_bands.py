"""Reads a large PNG in parts: a few rows at a time, each part as a small PNG.

The rows of a PNG are unpacked in order, and each may be stored as the difference from the one
above. A part therefore starts with the decoded last row of the part before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ImageError
from pplcnet.imaging.bands import Bands
from pplcnet.imaging.colour import to_rgb
from pplcnet.imaging.decoding import open_image
from pplcnet.imaging.limits import check_pixels
from pplcnet.imaging.orientation import read_orientation

__all__ = ["open_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
KEPT = (b"PLTE", b"tRNS", b"iCCP")
TURNING = (b"eXIf", b"iTXt")
"""Chunks that may give the image's orientation."""
MAX_KEPT_BYTES, MAX_CHUNKS = 4_000_000, 2_000_000
AT_ONCE = 1 << 16


def open_png(file: IO[bytes], name: str, rows: int, most_pixels: int) -> Bands | None:
    """A PNG, `rows` rows at a time.

    Args:
        file: must stay open until the last part has been read.

    Returns:
        None if it has to be decoded as a whole: it is damaged, interlaced, rotated, or not
        8-bit.
    """
    head = file.read(33)
    if len(head) < 33 or head[:8] != SIGNATURE or head[12:16] != b"IHDR":
        return None
    width, height, depth, colour, packing, filters, interlaced = struct.unpack(
        ">IIBBBBB", head[16:29]
    )
    if (depth, packing, filters, interlaced) != (8, 0, 0, 0) or colour not in CHANNELS:
        return None
    found = _chunks(file)
    if found is None or not width or not height:
        return None
    extras, turning, data = found
    form = struct.pack(">BBBBB", depth, colour, 0, 0, 0)
    if turning and _orientation(form, CHANNELS[colour], extras + turning) != 1:
        return None
    row_bytes = 1 + width * CHANNELS[colour]

    def parts() -> Iterator[NDArray[np.uint8]]:
        above = b""
        unpacked = _unpacked(file, name, data, row_bytes * rows, row_bytes * height)
        for top, packed in zip(range(0, height, rows), unpacked, strict=True):
            count = min(rows, height - top) + bool(above)
            head = struct.pack(">II", width, count) + form
            image = open_image(_file(head, extras, above + packed), "PNG", name)
            try:
                image.load()
            except Exception as error:  # decoders can raise nearly anything for damaged pixels
                raise ImageError(name, f"truncated or damaged ({str(error).strip()}).") from error
            skipped = bool(above)
            above = b"\0" + image.crop((0, count - 1, width, count)).tobytes()
            yield np.asarray(to_rgb(image, name, is_ours=True))[skipped:]

    check_pixels((width, height), name, most=most_pixels)
    return Bands((width, height), parts())


def _chunks(file: IO[bytes]) -> tuple[bytes, bytes, list[tuple[int, int]]] | None:
    """Chunks that affect colours, chunks that may rotate the image, and where the pixels are."""
    at, kept, turning = 33, b"", b""
    data: list[tuple[int, int]] = []
    seen: set[bytes] = set()
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return (kept, turning, data) if data else None
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IDAT":
            data.append((at + 8, length))
        elif kind in TURNING or (kind in KEPT and not data):
            if len(kept) + len(turning) + length > MAX_KEPT_BYTES:
                return None
            chunk = head + file.read(length + 4)
            if kind in TURNING:
                turning += chunk
            elif kind not in seen:
                kept += chunk
                seen.add(kind)
        at += 12 + length
    return None


def _orientation(form: bytes, channels: int, extras: bytes) -> int:
    """The orientation of a file with these chunks; 0 if it is damaged."""
    content = _file(struct.pack(">II", 1, 1) + form, extras, bytes(1 + channels))
    try:
        image = open_image(content, "PNG", "")
        image.load()
    except Exception:  # noqa: BLE001 - damaged files are decoded whole, which reports it
        return 0
    return read_orientation(image)


def _unpacked(
    file: IO[bytes], name: str, data: list[tuple[int, int]], size: int, total: int
) -> Iterator[bytes]:
    """The filtered rows, `size` bytes at a time, `total` in all."""
    unpacking = zlib.decompressobj()
    ready = bytearray()
    try:
        for place, length in data:
            for start in range(0, length, AT_ONCE):
                file.seek(place + start)
                packed = file.read(min(AT_ONCE, length - start))
                while packed and total:
                    ready += unpacking.decompress(packed, size)
                    packed = unpacking.unconsumed_tail
                    while total and len(ready) >= min(size, total):
                        part = bytes(ready[: min(size, total)])
                        del ready[: len(part)]
                        total -= len(part)
                        yield part
    except zlib.error as error:
        raise ImageError(name, f"truncated or damaged ({error}).") from error
    if total:
        raise ImageError(name, "truncated or damaged (its pixels end too early).")


def _file(head: bytes, extras: bytes, rows: bytes) -> bytes:
    """A PNG of filtered rows, which are not compressed again."""
    body = (_chunk(b"IHDR", head), extras, _chunk(b"IDAT", zlib.compress(rows, 0)))
    return b"".join([SIGNATURE, *body, _chunk(b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return b"".join(
        [
            struct.pack(">I", len(content)),
            kind,
            content,
            struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))),
        ]
    )
