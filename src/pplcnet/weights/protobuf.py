"""The protobuf wire format as Paddle's files use it; faults are raised as WeightsError."""

from __future__ import annotations

from collections.abc import Iterator

from pplcnet.errors import WeightsError
from pplcnet.system import protobuf
from pplcnet.system.protobuf import signed

__all__ = ["fields", "signed", "unpack_varints"]


def fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a message; numbers as unsigned int, the rest as bytes."""
    try:
        for number, _, value in protobuf.fields(content):
            yield number, value if isinstance(value, int) else bytes(value)
    except protobuf.ProtobufError as error:
        raise WeightsError(str(error)) from error


def unpack_varints(content: bytes) -> list[int]:
    """The numbers of a packed repeated field."""
    try:
        return protobuf.varints(content)
    except protobuf.ProtobufError as error:
        raise WeightsError(str(error)) from error
