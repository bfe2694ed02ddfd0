"""Reads the convolutions of an ONNX file as data: no graph is run, no ONNX library is needed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.weights.limits import read_file
from pplcnet.weights.pickles import shown
from pplcnet.weights.protobuf import fields, signed, unpack_varints

__all__ = ["Convolution", "ConvolutionGraph", "read_onnx_convolutions"]

# PicoDet as Paddle2ONNX writes it has about 600 operators and 100 convolutions.
MAX_OPERATORS = 10_000
MAX_CONVOLUTIONS = 500
MAX_TENSORS = 20_000
MAX_NAMES = 1000
"""Limit on an operator's inputs, outputs and attributes."""
FLOAT = 1


class Convolution(NamedTuple):
    """A convolution, and the earlier ones that its input depends on."""

    weight: np.ndarray
    """(O, I / groups, height, width)."""
    bias: np.ndarray | None
    stride: tuple[int, int]
    groups: int
    parents: frozenset[int]
    """Indices of the convolutions directly before it; empty if its input is the image itself."""
    feeds_sigmoid: bool
    """Whether its output goes directly into a sigmoid."""


class ConvolutionGraph(NamedTuple):
    """The convolutions in an ONNX file."""

    convolutions: list[Convolution]
    """In file order, each after those that it depends on."""
    image_size: tuple[int, int] | None
    """(height, width) of the input; None if any size is accepted."""


class _Node(NamedTuple):
    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, bytes]


def read_onnx_convolutions(path: Path) -> ConvolutionGraph:
    """Read the convolutions of an ONNX file, and how they are connected.

    Raises:
        WeightsError: damaged, too large, with weights in external files, or with convolutions of a
            kind that no network of the catalog has.
    """
    content = read_file(path)
    try:
        return _read(content)
    except WeightsError as error:
        raise WeightsError(f"{path}: not accepted as an ONNX file: {error}") from error
    except Exception as error:  # a damaged file can have any form
        raise WeightsError(
            f"{path}: not a readable ONNX file ({type(error).__name__}: {error})."
        ) from error


def _read(content: bytes) -> ConvolutionGraph:
    graph = _only(content, 7, "a graph")
    nodes: list[_Node] = []
    tensors: dict[str, bytes] = {}
    inputs: dict[str, bytes] = {}
    for number, value in fields(graph):
        if number == 1 and isinstance(value, bytes):
            nodes.append(_node(value))
            if len(nodes) > MAX_OPERATORS:
                raise WeightsError(f"more than {MAX_OPERATORS:,} operators.")
        elif number == 5 and isinstance(value, bytes):
            name = _text(value, 8)
            if name in tensors or len(tensors) == MAX_TENSORS:
                raise WeightsError(f"too many tensors, or two called {shown(name)}.")
            tensors[name] = value
        elif number == 11 and isinstance(value, bytes):
            inputs[_text(value, 1)] = value
    for node in nodes:
        if node.kind == "Constant" and node.outputs and "value" in node.attributes:
            tensors.setdefault(node.outputs[0], _only(node.attributes["value"], 5, "a tensor"))
    # Older files list their weights among the inputs.
    images = [name for name in inputs if name not in tensors]
    return _connected(nodes, tensors, images, inputs)


def _connected(
    nodes: list[_Node], tensors: dict[str, bytes], images: list[str], inputs: dict[str, bytes]
) -> ConvolutionGraph:
    into_sigmoid = {each for node in nodes if node.kind == "Sigmoid" for each in node.inputs}
    convolutions: list[Convolution] = []
    made_of: dict[str, frozenset[int]] = {}
    size: tuple[int, int] | None = None
    for node in nodes:
        parents = frozenset().union(*(made_of.get(name, frozenset()) for name in node.inputs))
        if node.kind == "Conv":
            if not parents:
                if node.inputs[0] not in images:
                    raise WeightsError(
                        "its input is changed before the first convolution. Of a network that "
                        "pplcnet exported, give the bundle."
                    )
                size = _size(inputs[node.inputs[0]])
            if len(convolutions) == MAX_CONVOLUTIONS:
                raise WeightsError(f"more than {MAX_CONVOLUTIONS} convolutions.")
            is_rooted = any(name in into_sigmoid for name in node.outputs)
            convolutions.append(_convolution(node, tensors, parents, is_rooted))
            parents = frozenset({len(convolutions) - 1})
        made_of |= dict.fromkeys(node.outputs, parents)
    return ConvolutionGraph(convolutions, size)


def _convolution(
    node: _Node, tensors: dict[str, bytes], parents: frozenset[int], feeds_sigmoid: bool
) -> Convolution:
    weight, *bias = [_array(tensors, name) for name in node.inputs[1:] if name]
    given = {name: _integers(value) for name, value in node.attributes.items()}
    sides = weight.shape[2:]
    groups = given.get("group", [1])[0]
    strides = given.get("strides", [1, 1])
    padding = [side // 2 for side in sides] * 2
    if (
        weight.ndim != 4
        or groups not in (1, weight.shape[0])
        or given.get("dilations", [1, 1]) != [1, 1]
        or given.get("pads", [0] * 4) != padding
        or "auto_pad" in given
        or len(strides) != 2
    ):
        raise WeightsError(f"a convolution of another kind than PicoDet's ({shown(node.outputs)}).")
    shift = bias[0] if bias and bias[0].shape == weight.shape[:1] else None
    return Convolution(weight, shift, (strides[0], strides[1]), groups, parents, feeds_sigmoid)


def _array(tensors: dict[str, bytes], name: str) -> np.ndarray:
    """A float32 tensor; its shape is checked against the bytes that are there."""
    if name not in tensors:
        raise WeightsError(f"the weights {shown(name)} of a convolution are computed, not stored.")
    shape: list[int] = []
    kind, raw, floats = 0, b"", b""
    for number, value in fields(tensors[name]):
        if number == 1:
            shape += unpack_varints(value) if isinstance(value, bytes) else [value]
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 4 and isinstance(value, bytes):
            floats += value
        elif number == 9 and isinstance(value, bytes):
            raw = value
        elif number in (13, 14):
            raise WeightsError(f"the weights {shown(name)} are in another file.")
    content = raw or floats
    shape = [signed(side) for side in shape]
    if kind != FLOAT or len(shape) > 4 or min(shape, default=1) < 1:
        raise WeightsError(f"the weights {shown(name)} are not plain float32.")
    if 4 * math.prod(shape) != len(content):
        raise WeightsError(f"the weights {shown(name)} are cut off.")
    return np.frombuffer(content, "<f4").reshape(shape)


def _node(content: bytes) -> _Node:
    inputs: list[str] = []
    outputs: list[str] = []
    kind = ""
    attributes: dict[str, bytes] = {}
    for number, value in fields(content):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            inputs.append(value.decode())
        elif number == 2:
            outputs.append(value.decode())
        elif number == 4:
            kind = value.decode()
        elif number == 5:
            attributes[_text(value, 1)] = value
        if len(inputs) + len(outputs) + len(attributes) > MAX_NAMES:
            raise WeightsError(f"an operator with more than {MAX_NAMES:,} inputs and attributes.")
    return _Node(kind, inputs, outputs, attributes)


def _integers(attribute: bytes) -> list[int]:
    """An attribute's number (3) or numbers (8)."""
    found: list[int] = []
    for number, value in fields(attribute):
        if number in (3, 8):
            found += unpack_varints(value) if isinstance(value, bytes) else [value]
    return [signed(each) for each in found]


def _size(described: bytes) -> tuple[int, int] | None:
    """Height and width of the input (N, 3, H, W): type (2), tensor (1), shape (2), sizes (1)."""
    shape = _only(_only(_only(described, 2, "a type"), 1, "a tensor type"), 2, "a shape")
    sizes = [
        next((side for at, side in fields(each) if at == 1 and isinstance(side, int)), None)
        for number, each in fields(shape)
        if number == 1 and isinstance(each, bytes)
    ]
    if len(sizes) != 4 or sizes[1] != 3:
        raise WeightsError("its input is not an image of three channels, channels first.")
    height, width = sizes[2:]
    return (height, width) if height and width else None


def _only(content: bytes, wanted: int, what: str) -> bytes:
    found = [v for number, v in fields(content) if number == wanted and isinstance(v, bytes)]
    if len(found) != 1:
        raise WeightsError(f"it does not hold {what} where one belongs.")
    return found[0]


def _text(content: bytes, wanted: int) -> str:
    parts: list[Any] = [value for number, value in fields(content) if number == wanted]
    return b"".join(each for each in parts if isinstance(each, bytes)).decode()
