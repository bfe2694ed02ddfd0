"""Just enough of the protobuf wire format to read what Paddle's files hold.

Paddle's own schema would need its package; its files use varints, 32- and 64-bit numbers and
length-delimited fields, which is what is read here, every length checked against the bytes left.
"""

from __future__ import annotations

from collections.abc import Iterator

from pplcnet.errors import WeightsError

__all__ = ["fields", "signed", "unpack_varints"]


def fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a message; numbers as unsigned int, the rest as bytes."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(content, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise WeightsError(f"a protobuf field of the unknown kind {kind}.")
        if number == 0 or size > len(content) - at:
            raise WeightsError("a protobuf message that is cut off.")
        yield number, content[at : at + size]
        at += size


def unpack_varints(content: bytes) -> list[int]:
    """The numbers of a packed repeated field."""
    values, at = [], 0
    while at < len(content):
        value, at = _varint(content, at)
        values.append(value)
    return values


def signed(value: int) -> int:
    """A varint as the signed 64-bit number that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise WeightsError("a protobuf number that is cut off.")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
