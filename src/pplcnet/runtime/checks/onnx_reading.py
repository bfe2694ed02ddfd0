"""Read an ONNX file into plain values, without the onnx package and without copying weights.

Only what this project's exporter and quantiser write is accepted. Everything else in the format is
refused: functions, subgraphs, external data, sparse tensors, custom domains, fields that another
reader could interpret differently.

This file is longer than others because it has a reader for every message of the format.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sized
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pplcnet.system.protobuf import (
    BYTES,
    FIXED32,
    VARINT,
    Buffer,
    ProtobufError,
    fields,
    signed,
    varints,
)

__all__ = ["Network", "Node", "Tensor", "read_onnx"]

FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7
_BYTES_EACH = {FLOAT: 4, UINT8: 1, INT8: 1, INT32: 4, INT64: 8}
OPSET = 17
IR_VERSIONS = range(3, 11)
MAX_NODES = 4000
MAX_CONSTANTS = 8000
MAX_NAME = 512
MAX_OPERATOR = 1 << 14
"""Bytes of an operator with its attributes, and of a tensor description."""
MAX_PARTS = 4096
"""Fields of one kind in a message: once read, each takes up a hundred times its bytes."""
MAX_UNPACKED = 1 << 20
"""Bytes of integers stored one by one."""
MAX_LIST = 64
"""Numbers in an attribute, and dimensions of a tensor."""
MAX_SCALES = 4
"""Numbers in a constant whose values are inspected: one factor per dimension."""
Described: TypeAlias = tuple[int, tuple[int | None, ...]]
"""Type and shape; None for a dynamic size."""


class Tensor(NamedTuple):
    """What is known about a tensor before anything runs."""

    dtype: int
    shape: tuple[int, ...]
    is_constant: bool = False
    """An initializer, or derived from one by an operator that keeps its values."""
    integers: tuple[int, ...] | None = None
    """The values of a small int64 constant, which is a shape."""
    floats: tuple[float, ...] | None = None
    """The values of a small float32 constant: scales."""


class Node:
    """An operator with its attributes."""

    def __init__(self, operator: str, inputs: list[str], outputs: list[str]) -> None:
        self.operator = operator
        self.inputs = inputs
        self.outputs = outputs
        self.attributes: dict[str, float | int | str | tuple[int, ...]] = {}


class Network:
    """A graph."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Tensor] = {}
        self.inputs: dict[str, Described] = {}
        self.outputs: dict[str, Described] = {}
        self.inner: dict[str, Described] = {}
        """The file's descriptions of intermediate tensors."""


def read_onnx(content: bytes) -> Network:
    """Read the graph of an ONNX file; ProtobufError if it is not of the kind written here."""
    once = {1: VARINT, 2: BYTES, 3: BYTES, 6: BYTES, 7: BYTES}
    model = _message(memoryview(content), "model", once, repeated={8: BYTES, 14: BYTES})
    if model.get(1) not in IR_VERSIONS:
        raise ProtobufError(f"an IR version of {model.get(1)}")
    opsets = [_message(each, "opset", {1: BYTES, 2: VARINT}) for each in model.get(8, [])]
    if len(opsets) != 1 or bytes(opsets[0].get(1, b"")) or opsets[0].get(2) != OPSET:
        raise ProtobufError(f"other operators than those of opset {OPSET}")
    if 7 not in model:
        raise ProtobufError("no graph")
    return _graph(model[7])


def _graph(content: Buffer) -> Network:
    network = Network()
    described = {11: network.inputs, 12: network.outputs, 13: network.inner}
    seen: set[int] = set()
    for number, kind, value in fields(content):
        if kind != BYTES or isinstance(value, int):
            raise ProtobufError(f"a graph with the field {number} of kind {kind}")
        if number == 1:
            network.nodes.append(_node(value))
            _limit(network.nodes, MAX_NODES, "operators")
        elif number == 5:
            _add(network.constants, *_constant(value))
            _limit(network.constants, MAX_CONSTANTS, "constants")
        elif number in described:
            _add(described[number], *_value(value))
            _limit(described[number], MAX_CONSTANTS, "descriptions of tensors")
        elif number in (2, 10) and number not in seen:
            seen.add(number)  # its name and type
        else:
            raise ProtobufError(f"a graph with the field {number}, which the exporter never writes")
    return network


def _add(table: dict[str, Any], name: str, value: Any) -> None:
    if name in table:
        raise ProtobufError(f"two tensors named {name!r}")
    table[name] = value


def _limit(found: Sized, most: int, what: str) -> None:
    if len(found) > most:
        raise ProtobufError(f"more than {most} {what}")


def _node(view: Buffer) -> Node:
    content = bytes(view[: MAX_OPERATOR + 1])  # small, and bytes are read faster than a view
    if len(content) > MAX_OPERATOR:
        raise ProtobufError(f"an operator of more than {MAX_OPERATOR} bytes")
    parts = _message(content, "operator", {3: BYTES, 4: BYTES, 6: BYTES, 7: BYTES},
                     repeated={1: BYTES, 2: BYTES, 5: BYTES})  # fmt: skip
    if bytes(parts.get(7, b"")):
        raise ProtobufError(f"an operator of the domain {_text(parts[7])!r}")
    node = Node(
        operator=_text(parts.get(4, b"")),
        inputs=[_text(each) for each in parts.get(1, [])],
        outputs=[_text(each) for each in parts.get(2, [])],
    )
    for each in parts.get(5, []):
        name, value = _attribute(each)
        if name in node.attributes:
            raise ProtobufError(f"an operator with two attributes {name!r}")
        node.attributes[name] = value
    return node


@lru_cache(512)  # most convolutions have the same few
def _attribute(content: bytes) -> tuple[str, float | int | str | tuple[int, ...]]:
    parts = _message(content, "attribute", {1: BYTES, 2: FIXED32, 3: VARINT, 4: BYTES, 20: VARINT},
                     repeated={8: None})  # fmt: skip
    name, kind = _text(parts.get(1, b"")), parts.get(20)
    held = set(parts) - {1, 20}
    if kind == 1 and held == {2}:
        return name, float(struct.unpack("<f", parts[2])[0])
    if kind == 2 and held <= {3}:
        return name, signed(parts.get(3, 0))
    if kind == 3 and held == {4}:
        return name, _text(parts[4])
    if kind == 7 and held <= {8}:
        return name, _integers(parts.get(8, []), f"the attribute {name!r}")
    raise ProtobufError(f"the attribute {name!r}, of a kind that the exporter never writes")


def _constant(content: Buffer) -> tuple[str, Tensor]:
    parts = _message(content, "constant", {2: VARINT, 8: BYTES, 9: BYTES},
                     repeated={1: None, 4: None, 5: None, 7: None})  # fmt: skip
    name, dtype = _text(parts.get(8, b"")), parts.get(2)
    if dtype not in _BYTES_EACH:
        raise ProtobufError(f"the constant {name!r} of type {dtype}")
    shape = _integers(parts.get(1, []), f"the shape of {name!r}")
    if any(each < 0 for each in shape):
        raise ProtobufError(f"the constant {name!r} of shape {shape}")
    count = math.prod(shape)
    held = set(parts) - {1, 2, 8}
    where = {FLOAT: 4, UINT8: 5, INT8: 5, INT32: 5, INT64: 7}[dtype]
    if held == {9}:
        size = len(parts[9])
        found = size // _BYTES_EACH[dtype] if size % _BYTES_EACH[dtype] == 0 else -1
    elif held == {where}:
        found = _count(parts[where], FIXED32 if where == 4 else VARINT)
    elif not held:
        found = 0
    else:
        raise ProtobufError(f"the constant {name!r}, stored in a way that the exporter never does")
    if found != count:
        raise ProtobufError(f"the constant {name!r} of shape {shape} without its {count} values")
    integers = None
    if dtype == INT64 and count <= MAX_LIST:
        if 9 in held:
            integers = tuple(struct.unpack(f"<{count}q", parts[9]))
        else:
            integers = _integers(parts.get(7, []), f"the constant {name!r}")
    floats = None
    if dtype == FLOAT and count <= MAX_SCALES and 9 in held:
        floats = tuple(struct.unpack(f"<{count}f", parts[9]))
    return name, Tensor(dtype, shape, is_constant=True, integers=integers, floats=floats)


def _value(view: Buffer) -> tuple[str, Described]:
    """Name, type and shape from a tensor description."""
    content = bytes(view[: MAX_OPERATOR + 1])
    if len(content) > MAX_OPERATOR:
        raise ProtobufError(f"a description of more than {MAX_OPERATOR} bytes")
    parts = _message(content, "description", {1: BYTES, 2: BYTES, 3: BYTES})
    return _text(parts.get(1, b"")), _type(parts.get(2, b""))


@lru_cache(512)
def _type(content: bytes) -> Described:
    kind = _message(content, "type", {1: BYTES})
    tensor = _message(kind.get(1, b""), "type", {1: VARINT, 2: BYTES})
    shape = _message(tensor.get(2, b""), "shape", {}, repeated={1: BYTES}).get(1, [])
    if len(shape) > MAX_LIST:
        raise ProtobufError(f"a tensor of {len(shape)} dimensions")
    sizes: list[int | None] = []
    for each in shape:
        size = _message(each, "shape", {1: VARINT, 2: BYTES})
        if len(size) > 1:
            raise ProtobufError("a size that is fixed and is not")
        sizes.append(signed(size[1]) if 1 in size else None)
    return tensor.get(1, 0), tuple(sizes)


def _message(
    content: Buffer,
    what: str,
    once: dict[int, int],
    repeated: dict[int, int | None] | None = None,
) -> dict[int, Any]:
    """The fields of a message by number; each of `once` occurs at most once.

    A field that is repeated, or has another wire type, means different things to different readers,
    so it is refused. Numbers that may be packed or not have None for a type.
    """
    repeated = repeated or {}
    found: dict[int, Any] = {}
    for number, kind, value in fields(content):
        if number in once:
            if kind != once[number] or number in found:
                raise ProtobufError(f"{what} with the field {number} twice, or of another kind")
            found[number] = value
        elif number in repeated and repeated[number] in (kind, None):
            parts = found.setdefault(number, [])
            parts.append((kind, value) if repeated[number] is None else value)
            if len(parts) > MAX_PARTS:
                raise ProtobufError(f"{what} with more than {MAX_PARTS} fields {number}")
        else:
            raise ProtobufError(f"{what} with the field {number}, which the exporter never writes")
    return found


def _integers(parts: list[tuple[int, int | Buffer]], what: str) -> tuple[int, ...]:
    values: list[int] = []
    for kind, value in parts:
        if isinstance(value, int):
            values.append(signed(value))
        elif kind == BYTES and len(value) <= 10 * MAX_LIST:
            values += map(signed, varints(value))
        else:
            raise ProtobufError(f"{what}: not a list of integers, or too long")
        if len(values) > MAX_LIST:
            raise ProtobufError(f"{what}: more than {MAX_LIST} integers")
    return tuple(values)


def _count(parts: list[tuple[int, int | Buffer]], kind: int) -> int:
    """The number of values in a repeated field, packed or one by one."""
    found = 0
    for each, value in parts:
        if each == kind:
            found += 1
        elif each != BYTES or isinstance(value, int):
            raise ProtobufError("a constant with numbers of another kind")
        elif kind == FIXED32:
            if len(value) % 4:
                raise ProtobufError("a constant that is cut off")
            found += len(value) // 4
        elif len(value) > MAX_UNPACKED:
            raise ProtobufError("a large constant that is not stored as raw data")
        else:
            found += _count_varints(value)
    return found


def _count_varints(content: Buffer) -> int:
    """The number of packed values: each ends with a byte below 0x80."""
    last = np.flatnonzero(np.frombuffer(content, np.uint8) < 0x80)
    lengths = np.diff(last, prepend=-1)
    if len(content) and (not len(last) or last[-1] != len(content) - 1 or lengths.max() > 10):
        raise ProtobufError("a constant that is cut off")
    return len(last)


def _text(content: Buffer) -> str:
    if len(content) > MAX_NAME:
        raise ProtobufError(f"a name of {len(content)} bytes")
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError as error:
        raise ProtobufError("a name that is not UTF-8") from error
