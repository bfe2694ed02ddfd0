"""Requests and answers of the Open Inference Protocol v2, independent of transport."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from numpy.typing import NDArray

from pplcnet.serving.refusals import Refusal

__all__ = [
    "CLASSIFICATION",
    "DATATYPES", "MOST_CLASSES", "MOST_DIMENSIONS", "InferenceAnswer", "InferenceRequest",
    "InputTensor", "OutputTensor", "RequestedOutput", "binary_form", "bytes_elements",
    "check_count", "check_id", "datatype_of",
]  # fmt: skip

CLASSIFICATION = "classification"
"""The name of Triton's extension and of its output parameter; not a task."""
DATATYPES = {
    "float32": "FP32", "float64": "FP64", "uint8": "UINT8", "int32": "INT32", "int64": "INT64",
    "bool": "BOOL",
}  # fmt: skip
"""NumPy dtype name to the protocol's; texts are BYTES."""
MOST_DIMENSIONS, MOST_ID, MOST_CLASSES = 8, 256, 1 << 20


@dataclass(frozen=True, slots=True)
class InputTensor:
    """A tensor in a request."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[bytes] | bytes | memoryview
    """For BYTES, a sequence of elements; otherwise the numbers in C order, little-endian."""


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output named in a request."""

    name: str
    classification: int = 0
    """Triton's parameter: return this many top classes as "value:index:label"; 0 for none."""
    is_binary: bool = False


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A client's request."""

    model: str
    version: str
    """ "" for the newest."""
    inputs: Sequence[InputTensor]
    outputs: Sequence[RequestedOutput] = ()
    """Empty for all outputs."""
    id: str = ""
    is_binary: bool = False
    """Whether outputs are returned in binary unless the request says otherwise."""


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor in an answer."""

    name: str
    values: NDArray[Any]
    """(N, ...) numbers or texts."""
    is_binary: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InferenceAnswer:
    """The answer to a request."""

    model: str
    version: str
    id: str
    outputs: Sequence[OutputTensor]


def datatype_of(values: NDArray[Any]) -> str:
    """The protocol's name for an array's dtype."""
    return DATATYPES.get(values.dtype.name, "BYTES")


def check_id(identifier: Any) -> None:
    """Refuse an id that is not text or is too long to send back."""
    if not isinstance(identifier, str) or len(identifier) > MOST_ID:
        raise Refusal(400, f"id must be a string of at most {MOST_ID} characters.")


def check_count(given: int, shape: Sequence[int], where: str) -> None:
    """Refuse a number of values that does not match the shape."""
    if given != prod(shape):
        raise Refusal(
            400, f"{where} holds {given} values; its shape {list(shape)} needs {prod(shape)}."
        )


def bytes_elements(data: bytes | memoryview, shape: Sequence[int], where: str) -> list[bytes]:
    """The elements of a BYTES tensor in binary form, where each is preceded by its length.

    Args:
        where: the tensor's place in the request, for messages.

    Raises:
        Refusal: the lengths do not match the data, or their number does not match the shape.
    """
    elements = list(_elements(data, where))
    if len(elements) != prod(shape):
        raise Refusal(
            400,
            f"{where} holds {len(elements)} elements; its shape {list(shape)} needs {prod(shape)}.",
        )
    return elements


def _elements(data: bytes | memoryview, where: str) -> Iterator[bytes]:
    at, end = 0, len(data)
    while at < end:
        if end - at < 4:
            raise Refusal(
                400,
                f"{where} ends within the length of an element; each element of a BYTES tensor "
                "has its length in 4 little-endian bytes before it.",
            )
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if size > end - at:
            raise Refusal(
                400,
                f"{where} has an element of {size} bytes, but only {end - at} bytes follow; each "
                "element of a BYTES tensor has its length in 4 little-endian bytes before it.",
            )
        yield bytes(data[at : at + size])
        at += size


def binary_form(values: NDArray[Any]) -> bytes:
    """Numbers or texts in the protocol's binary form, in C order."""
    if datatype_of(values) != "BYTES":
        return values.tobytes()
    encoded = [str(each).encode() for each in values.ravel()]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)
