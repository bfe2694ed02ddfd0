"""What a HEIC or AVIF file declares about its image, read without decoding anything.

Both are trees of boxes (ISO/IEC 14496-12) that describe items (ISO/IEC 23008-12): the image, the
tiles that it is composed of, its alpha, its EXIF. A decoder allocates what they declare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["HeifHeader", "read_heif_header"]

MAX_PARTS = 20_000
"""The most boxes, properties, references, extents and pieces of compressed data to look at."""
MAX_NESTING = 8
SEQUENCE_PARAMETERS = 33
"""The type of the HEVC unit that gives the size of the coded picture."""
UNIT_BYTES = 256
"""The size is always within this many bytes from the start of such a unit."""

Size = tuple[int, int]


class HeifHeader(NamedTuple):
    """What the file declares about the image that a viewer shows."""

    size: Size
    """(width, height) before it is turned or cropped."""
    coded_pixels: int
    """The pixels of everything that is decoded for it: its tiles, once per use, and its alpha."""
    exif: tuple[bytes, ...]
    """Every block of EXIF in the file, as TIFF."""


@dataclass
class _Meta:
    """The boxes below "meta", by item if they belong to one."""

    content: bytes
    primary: int = 0
    data_start: int = 0
    """Where the content of the box "idat" starts."""
    kinds: dict[int, bytes] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    owned: dict[int, list[int]] = field(default_factory=dict)
    """Item to indices in `properties`."""
    tiles: dict[int, list[int]] = field(default_factory=dict)
    beside: dict[int, list[int]] = field(default_factory=dict)
    """Item to its auxiliary images, such as alpha and depth."""
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Item to (start, length) in the file."""
    parts: int = 0

    def count(self, number: int = 1) -> None:
        """Count parts; ValueError when there are too many."""
        self.parts += number
        if self.parts > MAX_PARTS:
            raise ValueError("too many parts")


def read_heif_header(content: bytes) -> HeifHeader | None:
    """The header of a HEIC or AVIF file; None if it describes no image, or has too many parts."""
    meta = _Meta(content)
    try:
        for kind, start, end in _boxes(meta, 0, len(content)):
            if kind == b"meta":
                _read_meta(meta, start + 4, end)
                break
        size = _declared_size(meta, meta.primary)
        coded = _coded_pixels(meta, meta.primary, 0)
        coded += sum(_coded_pixels(meta, each, 1) for each in meta.beside.get(meta.primary, ()))
        exif = tuple(_exif(meta, item) for item, kind in meta.kinds.items() if kind == b"Exif")
    except (ValueError, IndexError):
        return None
    return HeifHeader(size, coded, exif) if size != (0, 0) else None


def _number(content: bytes, at: int, size: int) -> int:
    if at < 0 or at + size > len(content):
        raise IndexError("cut off")
    return int.from_bytes(content[at : at + size], "big")


def _boxes(meta: _Meta, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box."""
    while at + 8 <= end:
        meta.count()
        size, head = _number(meta.content, at, 4), 8
        if size == 1:
            size, head = _number(meta.content, at + 8, 8), 16
        elif size == 0:
            size = end - at
        if size < head:
            raise ValueError("a box that is shorter than its head")
        yield meta.content[at + 4 : at + 8], at + head, min(at + size, end)
        at += size


def _read_meta(meta: _Meta, at: int, end: int) -> None:
    readers = {b"iinf": _read_items, b"iref": _read_references, b"iloc": _read_places}
    for kind, start, stop in _boxes(meta, at, end):
        if kind == b"pitm":
            meta.primary = _number(meta.content, start + 4, 4 if meta.content[start] else 2)
        elif kind == b"idat":
            meta.data_start = start
        elif kind == b"iprp":
            _read_properties(meta, start, stop)
        elif kind in readers:
            readers[kind](meta, start, stop)


def _read_items(meta: _Meta, at: int, end: int) -> None:
    at += 8 if meta.content[at] else 6
    for kind, start, _ in _boxes(meta, at, end):
        if kind == b"infe":
            width = 4 if meta.content[start] > 2 else 2
            item = _number(meta.content, start + 4, width)
            meta.kinds[item] = meta.content[start + 6 + width : start + 10 + width]


def _read_references(meta: _Meta, at: int, end: int) -> None:
    width = 4 if meta.content[at] else 2
    for kind, start, stop in _boxes(meta, at + 4, end):
        source = _number(meta.content, start, width)
        count = _number(meta.content, start + width, 2)
        meta.count(count)
        first = start + width + 2
        targets = [
            _number(meta.content, first + each * width, width)
            for each in range(count)
            if first + (each + 1) * width <= stop
        ]
        if kind == b"dimg":
            meta.tiles.setdefault(source, []).extend(targets)
        elif kind == b"auxl":
            for target in targets:
                meta.beside.setdefault(target, []).append(source)


def _read_properties(meta: _Meta, at: int, end: int) -> None:
    for kind, start, stop in _boxes(meta, at, end):
        if kind == b"ipco":
            meta.properties += [
                (name, meta.content[first:last]) for name, first, last in _boxes(meta, start, stop)
            ]
        elif kind == b"ipma":
            _read_owners(meta, start)


def _read_owners(meta: _Meta, at: int) -> None:
    width = 4 if meta.content[at] else 2
    index_width = 2 if _number(meta.content, at + 1, 3) & 1 else 1
    entries, at = _number(meta.content, at + 4, 4), at + 8
    meta.count(entries)
    for _ in range(entries):
        item, count = _number(meta.content, at, width), _number(meta.content, at + width, 1)
        at += width + 1
        meta.count(count)
        for _ in range(count):
            # The highest bit tells whether the property is essential.
            place = _number(meta.content, at, index_width) & (0x7FFF if index_width == 2 else 0x7F)
            meta.owned.setdefault(item, []).append(place - 1)
            at += index_width


def _read_places(meta: _Meta, at: int, end: int) -> None:
    version, sizes = meta.content[at], _number(meta.content, at + 4, 2)
    offset_width, length_width, base_width = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_width = sizes & 15 if version else 0
    id_width = 4 if version > 1 else 2
    count, at = _number(meta.content, at + 6, id_width), at + 6 + id_width
    meta.count(count)
    for _ in range(count):
        item, at = _number(meta.content, at, id_width), at + id_width
        method, at = (_number(meta.content, at, 2) & 15, at + 2) if version else (0, at)
        base, at = _number(meta.content, at + 2, base_width), at + 2 + base_width
        extents, at = _number(meta.content, at, 2), at + 2
        meta.count(extents)
        for _ in range(extents):
            at += index_width
            start = base + _number(meta.content, at, offset_width)
            length = _number(meta.content, at + offset_width, length_width)
            at += offset_width + length_width
            place = (start, length) if method == 0 else (-1 - start, length)
            meta.extents.setdefault(item, []).append(place)


def _pieces(meta: _Meta, item: int) -> Iterator[bytes]:
    for start, length in meta.extents.get(item, ()):
        first = start if start >= 0 else meta.data_start - 1 - start  # below "idat"
        yield meta.content[first : first + length] if length else meta.content[first:]


def _owned(meta: _Meta, item: int, kind: bytes) -> list[bytes]:
    places = meta.owned.get(item, ())
    found = [meta.properties[at] for at in places if 0 <= at < len(meta.properties)]
    return [content for name, content in found if name == kind]


def _declared_size(meta: _Meta, item: int) -> Size:
    for content in _owned(meta, item, b"ispe"):
        return _number(content, 4, 4), _number(content, 8, 4)
    return 0, 0


def _coded_pixels(meta: _Meta, item: int, nesting: int) -> int:
    """The pixels decoded for an item, or for all items that it is composed of."""
    meta.count()
    if nesting > MAX_NESTING:
        raise ValueError("nested too deeply")
    tiles = meta.tiles.get(item, ())
    own = 0
    if not tiles or nesting:  # the image's own canvas is counted as the output
        width, height = _declared_size(meta, item)
        own = max([width * height, *(w * h for w, h in _hevc_sizes(meta, item))])
    if not tiles:
        return own
    counted = {each: _coded_pixels(meta, each, nesting + 1) for each in dict.fromkeys(tiles)}
    return own + sum(counted[each] for each in tiles)


def _hevc_sizes(meta: _Meta, item: int) -> Iterator[Size]:
    """The sizes of the coded pictures, which can differ from the declared ones."""
    for settings in _owned(meta, item, b"hvcC"):
        at, arrays = 23, _number(settings, 22, 1)
        for _ in range(arrays):
            units, at = _number(settings, at + 1, 2), at + 3
            meta.count(units)
            for _ in range(units):
                length = _number(settings, at, 2)
                yield from _size_in_unit(settings[at + 2 : at + 2 + min(length, UNIT_BYTES)])
                at += 2 + length
        width = (_number(settings, 21, 1) & 3) + 1
        for piece in _pieces(meta, item):
            at = 0
            while at + width < len(piece):
                meta.count()
                length = _number(piece, at, width)
                yield from _size_in_unit(piece[at + width : at + width + min(length, UNIT_BYTES)])
                at += width + length


def _size_in_unit(unit: bytes) -> list[Size]:
    """[(width, height)] from a unit of sequence parameters (ITU-T H.265, 7.3.2.2), or []."""
    if len(unit) < 4 or unit[0] >> 1 & 63 != SEQUENCE_PARAMETERS:
        return []
    # After two zeros, a third byte of 3 is only an escape.
    content = unit[2:].replace(b"\0\0\3", b"\0\0")
    bits = _Bits(int.from_bytes(content, "big"), len(content) * 8)
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)
    present = [bits.take(2) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for each in present:
        bits.take((88 if each & 2 else 0) + (8 if each & 1 else 0))
    bits.count()
    if bits.count() == 3:  # how colours are sampled
        bits.take(1)
    return [(bits.count(), bits.count())]


class _Bits:
    """Reads numbers one after another from a string of bits."""

    def __init__(self, value: int, length: int) -> None:
        self.value = value
        self.left = length

    def take(self, length: int) -> int:
        """The next number of `length` bits; IndexError at the end."""
        self.left -= length
        if self.left < 0:
            raise IndexError("cut off")
        return self.value >> self.left & (1 << length) - 1

    def count(self) -> int:
        """The next number in Exp-Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _exif(meta: _Meta, item: int) -> bytes:
    """The item's TIFF, which follows a number that gives its distance."""
    content = b"".join(_pieces(meta, item))
    return content[4 + int.from_bytes(content[:4], "big") :]
