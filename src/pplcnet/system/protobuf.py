"""Enough of the protobuf wire format to read weights and networks without protobuf libraries.

Reads varints, 32- and 64-bit numbers and length-delimited fields, checking every length against
the bytes left; groups, which no format here uses, are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from pplcnet.errors import PPLCNetError

__all__ = [
    "BYTES",
    "FIXED32",
    "FIXED64",
    "VARINT",
    "Buffer",
    "ProtobufError",
    "encoded",
    "fields",
    "signed",
    "varints",
]

Buffer: TypeAlias = bytes | memoryview
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class ProtobufError(PPLCNetError, ValueError):
    """A message that is cut off, or not in the wire format."""


def fields(content: Buffer) -> Iterator[tuple[int, int, int | Buffer]]:
    """Yield each field's (number, wire type, value); varints as unsigned int, the rest as bytes.

    Slices of a memoryview are memoryviews, so large fields are not copied.
    """
    at, end = 0, len(content)
    while at < end:
        # Nearly every number has one byte, which is read here without a call.
        key = content[at]
        at += 1
        if key >= 0x80:
            key, at = _varint(content, at - 1, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ProtobufError("a protobuf field without a number.")
        if kind == VARINT:
            value, at = _varint(content, at, end)
            yield number, kind, value
            continue
        if kind == BYTES:
            if at < end and content[at] < 0x80:
                size = content[at]
                at += 1
            else:
                size, at = _varint(content, at, end)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise ProtobufError(f"a protobuf field of the unknown kind {kind}.")
        if size > end - at:
            raise ProtobufError("a protobuf message that is cut off.")
        yield number, kind, content[at : at + size]
        at += size


def encoded(parts: Iterable[tuple[int, int, int | Buffer]]) -> bytes:
    """Encode a message from these fields, in order; the inverse of `fields`."""
    pieces: list[Buffer] = []
    for number, kind, value in parts:
        pieces.append(_as_varint(number << 3 | kind))
        if isinstance(value, int):
            pieces.append(_as_varint(value))
            continue
        if kind == BYTES:
            pieces.append(_as_varint(len(value)))
        pieces.append(value)
    return b"".join(pieces)


def _as_varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def varints(content: Buffer) -> list[int]:
    """The numbers of a packed repeated field."""
    values, at, end = [], 0, len(content)
    while at < end:
        value, at = _varint(content, at, end)
        values.append(value)
    return values


def signed(value: int) -> int:
    """A varint interpreted as a signed 64-bit number."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(view: Buffer, at: int, end: int) -> tuple[int, int]:
    if at < end and view[at] < 0x80:  # nearly all of them
        return view[at], at + 1
    value = shift = 0
    while at < end and shift <= 63:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at
        shift += 7
    raise ProtobufError("a protobuf number that is cut off.")
