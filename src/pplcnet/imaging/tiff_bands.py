"""Reads a large TIFF in parts: some strips or tiles at a time, each as a small TIFF.

The small files have the large one's tags for how pixels are stored, and go through the same decoder
as whole files, so colours, depths and compressions are handled as in `decoding`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ImageError
from pplcnet.imaging.bands import Bands
from pplcnet.imaging.decoding import as_image, decode_image
from pplcnet.imaging.limits import MAX_PIXELS, check_pixels

__all__ = ["open_tiff"]

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, ORIENTATION = (
    256,
    257,
    258,
    259,
    262,
    273,
    274,
)
SAMPLES, STRIP_ROWS, STRIP_BYTES, PLANES = 277, 278, 279, 284
TILE_WIDTH, TILE_LENGTH, TILES, TILE_BYTES = 322, 323, 324, 325
SUBFILE, SUBDIRECTORIES, DNG = 254, 330, 50706
KEPT = (
    BITS, COMPRESSION, PHOTOMETRIC, 266, SAMPLES, PLANES, 292, 293, 317, 320, 338, 339, 347, 530,
    531, 532, 34675,
)  # fmt: skip
"""How pixels are stored: also the bit order, predictor, colours, sample formats, JPEG tables,
subsampling and the ICC profile."""
NONE, OLD_JPEG, YCBCR = 1, 6, 6
FORMS = {1: (1, "B"), 2: (1, ""), 3: (2, "H"), 4: (4, "L"), 5: (8, ""), 6: (1, ""), 7: (1, ""),
         8: (2, ""), 9: (4, ""), 10: (8, ""), 11: (4, ""), 12: (8, ""), 16: (8, "Q")}  # fmt: skip
"""Bytes per value and, for integers, the `struct` code, by the type's number."""
LONG = 4
MAX_ENTRIES, MAX_VALUE_BYTES, MAX_PIECES, MAX_BAND_BYTES = 4096, 1 << 23, 1_000_000, 300_000_000


class _Entry(NamedTuple):
    kind: int
    """The type's number."""
    number: int
    """The number of values."""
    data: bytes


@dataclass(frozen=True)
class _Pieces:
    """Where the strips or tiles are, row by row, one plane after the other."""

    order: str
    entries: Mapping[int, _Entry]
    size: tuple[int, int]
    tile: tuple[int, int]
    """(width, height) of a piece; for a strip, the image's width."""
    offsets: Sequence[int]
    lengths: Sequence[int]
    is_tiled: bool

    @property
    def across(self) -> int:
        return -(-self.size[0] // self.tile[0])

    @property
    def down(self) -> int:
        return -(-self.size[1] // self.tile[1])


def open_tiff(file: IO[bytes], name: str, rows: int, most_pixels: int) -> Bands | None:
    """The first image of a TIFF or BigTIFF, about `rows` rows at a time.

    Args:
        file: must stay open until the last part has been read.

    Returns:
        None if it has to be decoded as a whole: it is damaged, rotated by its orientation, a raw
        photo, or stored in a way that the decoder refuses.

    Raises:
        ImageError: it has more than `most_pixels`, or one of its pieces is too large; while reading
            the parts, whatever decoding raises.
    """
    pieces = _pieces_of(file, rows)
    if pieces is None:
        return None
    width = pieces.size[0]
    at_once = max(1, rows // pieces.tile[1])
    check_pixels(pieces.size, name, most=most_pixels)
    if width * pieces.tile[1] > MAX_PIXELS:
        raise ImageError(
            name,
            f"has {width}x{pieces.size[1]} pixels, stored in one piece that can only be decoded as "
            "a whole; save it in tiles.",
        )

    def parts() -> Iterator[NDArray[np.uint8]]:
        for first in range(0, pieces.down, at_once):
            content = _small_file(file, name, pieces, first, min(first + at_once, pieces.down))
            try:
                yield np.asarray(as_image(decode_image(content).image))
            except ImageError as error:
                raise ImageError(name, error.reason) from error

    return Bands(pieces.size, parts())


def _pieces_of(file: IO[bytes], rows: int) -> _Pieces | None:
    try:
        order, entries = _directory(file)
        size = _number(order, entries, WIDTH), _number(order, entries, LENGTH)
        is_tiled = TILES in entries
        if is_tiled:
            tile = _number(order, entries, TILE_WIDTH), _number(order, entries, TILE_LENGTH)
        else:
            tile = size[0], min(size[1], _number(order, entries, STRIP_ROWS, size[1]))
        offsets = _numbers(order, entries[TILES if is_tiled else STRIPS])
        lengths = _numbers(order, entries[TILE_BYTES if is_tiled else STRIP_BYTES])
    except (KeyError, struct.error, OSError, ValueError):
        return None
    is_raw = DNG in entries or (
        _number(order, entries, SUBFILE, 0) & 1 and SUBDIRECTORIES in entries
    )
    if (
        is_raw
        or min(*size, *tile) < 1
        or _number(order, entries, ORIENTATION, 1) not in (0, 1)
        or _number(order, entries, COMPRESSION, NONE) == OLD_JPEG
    ):
        return None
    pieces = _Pieces(order, entries, size, tile, offsets, lengths, is_tiled)
    planes = _number(order, entries, SAMPLES, 1) if _number(order, entries, PLANES, 1) == 2 else 1
    if not len(offsets) == len(lengths) == planes * pieces.across * pieces.down:
        return None
    return _split(pieces, rows) if planes == 1 else pieces


def _split(pieces: _Pieces, rows: int) -> _Pieces:
    """Several strips in place of one strip of uncompressed rows; anything else unchanged."""
    order, entries = pieces.order, pieces.entries
    if (
        len(pieces.offsets) > 1
        or pieces.is_tiled
        or _number(order, entries, COMPRESSION, NONE) != NONE
        or _number(order, entries, PHOTOMETRIC, 0) == YCBCR
    ):
        return pieces
    bits = _numbers(order, entries[BITS]) if BITS in entries else (1,)
    samples = _number(order, entries, SAMPLES, 1)
    row_bytes = -(-pieces.size[0] * samples * max(bits) // 8)
    tops = range(0, pieces.size[1], rows)
    return _Pieces(
        order,
        entries,
        pieces.size,
        (pieces.size[0], rows),
        [pieces.offsets[0] + top * row_bytes for top in tops],
        [min(rows, pieces.size[1] - top) * row_bytes for top in tops],
        False,
    )


def _directory(file: IO[bytes]) -> tuple[str, dict[int, _Entry]]:
    """The byte order, and the first directory's entries of known types."""
    head = file.read(16)
    order = ">" if head[:2] == b"MM" else "<"
    is_big = head[2:4] in (b"\0+", b"+\0")
    (at,) = struct.unpack_from(order + ("Q" if is_big else "L"), head, 8 if is_big else 4)
    file.seek(at)
    size = 8 if is_big else 2
    (count,) = struct.unpack(order + ("Q" if is_big else "H"), file.read(size))
    form, step, inline = (order + "HHQ", 20, 8) if is_big else (order + "HHL", 12, 4)
    if count > MAX_ENTRIES:
        raise ValueError("too many entries")
    table = file.read(count * step)
    entries: dict[int, _Entry] = {}
    for start in range(0, count * step, step):
        tag, kind, number = struct.unpack_from(form, table, start)
        if kind not in FORMS or tag in entries:
            continue
        value = start + struct.calcsize(form)
        length = number * FORMS[kind][0]
        data = table[value : value + length]
        if length > inline:
            if length > MAX_VALUE_BYTES:
                continue
            (place,) = struct.unpack_from(order + ("Q" if is_big else "L"), table, value)
            file.seek(place)
            data = file.read(length)
        if len(data) == length:
            entries[tag] = _Entry(kind, number, data)
    return order, entries


def _numbers(order: str, entry: _Entry) -> tuple[int, ...]:
    letter = FORMS[entry.kind][1]
    if not letter or not 0 < entry.number <= MAX_PIECES:
        raise ValueError("no whole numbers")
    return struct.unpack(f"{order}{entry.number}{letter}", entry.data)


def _number(order: str, entries: Mapping[int, _Entry], tag: int, default: int | None = None) -> int:
    """The first number of a tag; KeyError if it is missing and there is no default."""
    if tag not in entries and default is not None:
        return default
    return _numbers(order, entries[tag])[0]


def _small_file(file: IO[bytes], name: str, pieces: _Pieces, first: int, end: int) -> bytes:
    """A TIFF of some rows of pieces."""
    order, across = pieces.order, pieces.across
    a_plane = across * pieces.down
    chosen = [
        plane + at
        for plane in range(0, len(pieces.offsets), a_plane)
        for at in range(first * across, end * across)
    ]
    lengths = [pieces.lengths[at] for at in chosen]
    if sum(lengths) > MAX_BAND_BYTES:
        raise ImageError(name, "a TIFF whose strips or tiles are too large to be an image's.")
    data = []
    for at, length in zip(chosen, lengths, strict=True):
        file.seek(pieces.offsets[at])
        data.append(file.read(length))
    rows = min(end * pieces.tile[1], pieces.size[1]) - first * pieces.tile[1]

    def longs(*values: int) -> _Entry:
        return _Entry(LONG, len(values), struct.pack(f"{order}{len(values)}L", *values))

    entries = {tag: pieces.entries[tag] for tag in KEPT if tag in pieces.entries}
    entries |= {WIDTH: longs(pieces.size[0]), LENGTH: longs(rows)}
    if pieces.is_tiled:
        entries |= {TILE_WIDTH: longs(pieces.tile[0]), TILE_LENGTH: longs(pieces.tile[1])}
    else:
        entries[STRIP_ROWS] = longs(pieces.tile[1])
    places, sizes = (TILES, TILE_BYTES) if pieces.is_tiled else (STRIPS, STRIP_BYTES)
    entries |= {sizes: longs(*lengths), places: longs(*lengths)}  # places are placeholders
    start = 8 + 2 + 12 * len(entries) + 4
    values = start + sum(len(each.data) + len(each.data) % 2 for each in entries.values())
    offsets = (
        [values + sum(lengths[:at]) for at in range(len(lengths))]
        if len(lengths) < 2
        else ((values + np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64)])).tolist())
    )
    entries[places] = longs(*offsets)
    table, body = [], []
    for tag, each in sorted(entries.items()):
        value = each.data.ljust(4, b"\0")
        if len(each.data) > 4:
            value = struct.pack(order + "L", start)
            padded = each.data + bytes(len(each.data) % 2)
            body.append(padded)
            start += len(padded)
        table.append(struct.pack(order + "HHL", tag, each.kind, each.number) + value)
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "LH", 8, len(table))
    # Values of up to four bytes are stored in the table: the space reserved for them stays empty.
    gap = bytes(values - start)
    return b"".join([head, *table, bytes(4), *body, gap, *data])
