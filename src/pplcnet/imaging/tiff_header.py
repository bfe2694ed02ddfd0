"""The first directory of a TIFF file, and of the TIFF that holds a photo's EXIF, without Pillow.

It is read before a decoder sees the file, so that the size of its values can be limited.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["TiffHeader", "describe_tiff", "read_tiff_header"]

# Bytes of one value, by the type's number.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
         16: 8, 17: 8, 18: 8}  # fmt: skip
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L", 16: "Q", 17: "q",
                 18: "Q"}  # fmt: skip
BYTE_TYPES = frozenset((1, 2, 6, 7))
# Compressions that cameras, scanners and microscopes write but Pillow cannot read.
COMPRESSIONS = {
    22610: "JPEG XR", 33003: "JPEG 2000", 33005: "JPEG 2000", 33007: "lossless JPEG",
    34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 34933: "PNG", 34934: "JPEG XR",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
KINDS_OF_SAMPLE = {2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}
# Longer arrays, such as strip offsets, are counted but not read.
READ_VALUES = 64


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The content of the first directory."""

    values: Mapping[int, tuple[int, ...]]
    """Tag to its integers, for tags with up to READ_VALUES of them."""
    counts: Mapping[int, int]
    """Tag to the number of values that it declares."""
    stored_bytes: int
    """Bytes that all values occupy together."""
    number_count: int
    """Values other than bytes and characters, of all tags together."""

    @property
    def is_image(self) -> bool:
        """Whether it has a size, and strips or tiles."""
        return {256, 257} <= self.counts.keys() and bool({273, 324} & self.counts.keys())

    def first(self, tag: int, default: int) -> int:
        """The tag's first number, or `default` if it has none."""
        return self.values.get(tag, (default,))[0]


def read_tiff_header(content: bytes) -> TiffHeader | None:
    """The first directory of a TIFF or BigTIFF; None if the content ends before it does."""
    order = ">" if content[:2] == b"MM" else "<"
    big = content[2:4] in (b"\0+", b"+\0")
    try:
        (at,) = struct.unpack_from(order + ("Q" if big else "L"), content, 8 if big else 4)
        entries, at = _entry_count(order, content, at, big)
        if at + entries * (20 if big else 12) > len(content):
            return None
        return _read_entries(order, content, at, entries, big)
    except struct.error:
        return None


def describe_tiff(content: bytes) -> str:
    """Half a sentence on a TIFF of an unsupported kind; empty if it is damaged instead."""
    header = read_tiff_header(content)
    if header is None or not header.is_image:
        return ""
    compression = header.first(259, 1)
    if compression in COMPRESSIONS:
        kind = f"compressed as {COMPRESSIONS[compression]}"
    else:
        samples = header.first(277, 1)
        bits = "/".join(dict.fromkeys(map(str, header.values.get(258, (1,)))))
        number = KINDS_OF_SAMPLE.get(header.first(339, 1), "")
        plural = "s" if samples != 1 else ""
        inverted = " (white is zero)" if header.first(262, 1) == 0 else ""
        kind = f"with {samples} {number}sample{plural} of {bits} bits a pixel{inverted}"
    return f"a TIFF {kind}, which is not supported; save it as RGB or grey with 8 bits."


def _entry_count(order: str, content: bytes, at: int, big: bool) -> tuple[int, int]:
    """The number of entries in the directory at `at`, and the offset of the first."""
    if at > len(content):
        raise struct.error("the directory lies behind the end of the file")
    (entries,) = struct.unpack_from(order + ("Q" if big else "H"), content, at)
    return entries, at + (8 if big else 2)


def _read_entries(order: str, content: bytes, at: int, entries: int, big: bool) -> TiffHeader:
    form, step, inline = (order + "HHQ", 20, 8) if big else (order + "HHL", 12, 4)
    head = struct.calcsize(form)
    values: dict[int, tuple[int, ...]] = {}
    counts: dict[int, int] = {}
    stored = numbers = 0
    for entry in range(at, at + entries * step, step):
        tag, kind, count = struct.unpack_from(form, content, entry)
        if kind not in SIZES or tag in counts:
            continue
        size = count * SIZES[kind]
        counts[tag] = count
        stored += size
        numbers += count * (kind not in BYTE_TYPES)
        place = entry + head
        if size > inline:
            (place,) = struct.unpack_from(order + ("Q" if big else "L"), content, place)
        if kind in WHOLE_NUMBERS and 0 < count <= READ_VALUES and place + size <= len(content):
            letters = f"{order}{count}{WHOLE_NUMBERS[kind]}"
            values[tag] = struct.unpack_from(letters, content, place)
    return TiffHeader(values, counts, stored, numbers)
