"""Check that a `.tflite` file is a network that this project's exporter could have written.

LiteRT does not verify what it loads. The tables that it follows are therefore checked first: one
graph, known operators, indices and sizes within their ranges.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping

from pplcnet.errors import BundleError

__all__ = ["check_tflite"]

# Operators that TensorFlow's converter uses for the catalog: numbers of tflite's schema. No
# control flow, variables or custom operators, and none whose output can be larger than its inputs
# imply, except resize, whose size is checked.
OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D",
    9: "FULLY_CONNECTED", 14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU",
    21: "RELU6", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 25: "SOFTMAX", 34: "PAD",
    39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 42: "DIV", 45: "STRIDED_SLICE", 49: "SPLIT",
    53: "CAST", 55: "MAXIMUM", 57: "MINIMUM",
    60: "PADV2", 65: "SLICE", 74: "SUM", 75: "SQRT", 117: "HARD_SWISH", 152: "RELU_0_TO_1",
}  # fmt: skip
RESIZE = 23
MAX_OUTPUTS = 16
MAX_TABLES = 10_000
MAX_NUMBERS = 1 << 30
"""For one tensor."""


def check_tflite(
    content: bytes,
    image_size: tuple[int, int] | None = None,
    outputs: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Raise BundleError, with the reason, for a network of another kind or size.

    Args:
        image_size: required (height, width); None for any.
        outputs: required outputs in order, name to shape for one image;
            None for any. Their names in the file are ignored: converting loses them.
    """
    try:
        _check(_Table.root(content), image_size, outputs)
    except struct.error as error:
        raise BundleError("it is cut off") from error


def _check(
    model: _Table,
    image_size: tuple[int, int] | None,
    outputs: Mapping[str, tuple[int, ...]] | None,
) -> None:
    if model.integer(0, "<I") != 3:
        raise BundleError("it is of another version of the format")
    codes = [_code(each) for each in model.tables(1)]
    contents = list(model.tables(4))
    buffers = [_buffer_size(each) for each in contents]
    graphs = list(model.tables(2))
    if len(graphs) != 1:
        raise BundleError(f"it has {len(graphs)} graphs")
    graph = graphs[0]
    described = list(graph.tables(0))
    tensors = [_tensor(each, len(buffers)) for each in described]
    made = {index for operator in graph.tables(3) for index in operator.integers(2)}
    for operator in graph.tables(3):
        if not 0 <= operator.integer(0, "<I") < len(codes):
            raise BundleError("an operator without a code")
        for index in (*operator.integers(1), *operator.integers(2)):
            if not -1 <= index < len(tensors):
                raise BundleError("an operator on a tensor that is not there")
        if codes[operator.integer(0, "<I")] == RESIZE:
            _check_resize(operator, described, tensors, contents, made)
    given, answered = graph.integers(1), graph.integers(2)
    if len(given) != 1 or not 1 <= len(answered) <= MAX_OUTPUTS:
        raise BundleError(f"it has {len(given)} inputs and {len(answered)} outputs")
    if not all(0 <= each < len(tensors) for each in (*given, *answered)):
        raise BundleError("its input or an output is not there")
    _check_contract(tensors[given[0]], [tensors[each] for each in answered], image_size, outputs)


def _check_resize(
    operator: _Table,
    described: list[_Table],
    tensors: list[tuple[int, ...]],
    contents: list[_Table],
    made: set[int],
) -> None:
    """Raise BundleError unless the size is a constant and equal to that of the result."""
    indices = (*operator.integers(1), *operator.integers(2))
    if len(indices) != 3 or min(indices) < 0 or indices[1] in made:
        raise BundleError("a resize whose size is no constant")
    source, size, result = indices
    sides = contents[described[size].integer(2, "<I")].words(0)
    batch, channels = tensors[source][:1], tensors[source][3:]
    if len(sides) != 2 or tensors[result] != (*batch, *sides, *channels):
        raise BundleError(f"a resize to {sides} that says {tensors[result]}")


def _check_contract(
    given: tuple[int, ...],
    answered: list[tuple[int, ...]],
    image_size: tuple[int, int] | None,
    outputs: Mapping[str, tuple[int, ...]] | None,
) -> None:
    if len(given) != 4 or given[3] != 3:
        raise BundleError(f"it takes an input of shape {given}")
    for shape in answered:
        if len(shape) < 2 or shape[0] != given[0]:
            raise BundleError(f"it takes {given} and returns {shape}")
    if image_size is not None and given[1:3] != image_size:
        raise BundleError(
            f"it takes images of {given[1]}x{given[2]}; the manifest says "
            f"{image_size[0]}x{image_size[1]}"
        )
    shapes = [shape[1:] for shape in answered]
    if outputs is not None and shapes != list(outputs.values()):
        raise BundleError(
            f"its outputs have the shapes {shapes}; the manifest says {list(outputs.values())}"
        )


def _code(table: _Table) -> int:
    code = max(table.integer(0, "<b"), table.integer(3, "<i"))
    if table.has(1) or code not in OPERATORS:
        raise BundleError(f"the operator {code}, which the exporter never writes")
    return code


def _buffer_size(table: _Table) -> int:
    if table.has(1) or table.has(2):
        raise BundleError("weights outside of the file's tables")
    return table.length(0)


def _tensor(table: _Table, buffers: int) -> tuple[int, ...]:
    shape = tuple(table.integers(0))
    if len(shape) > 6 or any(each < 0 for each in shape) or math.prod(shape) > MAX_NUMBERS:
        raise BundleError(f"a tensor of shape {shape}")
    if not 0 <= table.integer(2, "<I") < buffers or table.has(6):
        raise BundleError("a tensor without its values")
    return shape


class _Table:
    """A table of the flatbuffers format; every offset is checked to be inside the file."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at
        distance = self._number("<i", at)
        self._layout = at - distance
        self._size = self._number("<H", self._layout)

    @classmethod
    def root(cls, content: bytes) -> _Table:
        if content[4:8] != b"TFL3":
            raise BundleError("it does not begin as a .tflite file does")
        return cls(content, struct.unpack_from("<I", content, 0)[0])

    def _number(self, kind: str, at: int) -> int:
        if at < 0:
            raise BundleError("it points outside of itself")
        return int(struct.unpack_from(kind, self._content, at)[0])

    def _field(self, number: int) -> int | None:
        """The offset of a field's value; None if the table lacks it."""
        slot = 4 + 2 * number
        if slot + 2 > self._size:
            return None
        offset = self._number("<H", self._layout + slot)
        return self._at + offset if offset else None

    def has(self, number: int) -> bool:
        return self._field(number) is not None

    def integer(self, number: int, kind: str) -> int:
        at = self._field(number)
        return 0 if at is None else self._number(kind, at)

    def _vector(self, number: int, item_bytes: int) -> tuple[int, int]:
        """The offset of a vector's first item, and the number of items."""
        at = self._field(number)
        if at is None:
            return 0, 0
        start = at + self._number("<I", at)
        count = self._number("<I", start)
        if start + 4 + count * item_bytes > len(self._content):
            raise BundleError("a list that is cut off")
        return start + 4, count

    def length(self, number: int) -> int:
        return self._vector(number, 1)[1]

    def integers(self, number: int) -> list[int]:
        start, count = self._vector(number, 4)
        if count > MAX_TABLES:
            raise BundleError(f"a list of {count} numbers")
        return [self._number("<i", start + 4 * at) for at in range(count)]

    def words(self, number: int) -> tuple[int, ...]:
        """A vector of bytes as 32-bit integers; at most two of them."""
        start, count = self._vector(number, 1)
        return tuple(self._number("<i", start + at) for at in range(0, min(count, 8) - 3, 4))

    def tables(self, number: int) -> Iterator[_Table]:
        start, count = self._vector(number, 4)
        if count > MAX_TABLES:
            raise BundleError(f"a list of {count} tables")
        for at in range(start, start + 4 * count, 4):
            yield _Table(self._content, at + self._number("<I", at))
