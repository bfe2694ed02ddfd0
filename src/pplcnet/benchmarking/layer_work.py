"""The work of each operator in an ONNX file: multiplications, weights, activations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import onnx

__all__ = ["LayerWork", "count_work"]


class LayerWork(NamedTuple):
    """For one image."""

    kind: str
    """"stem", "depthwise 3x3", "pointwise", "matrix product", or the operator's name in ONNX."""
    macs: int
    weights: int
    activations: int
    """Numbers read and written."""


def count_work(content: bytes) -> dict[str, LayerWork]:
    """Operator name to its work, for every operator in a file of batch 1.

    The classifier is also listed under the name of its output, which engines give it.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    graph = model.graph
    weights = {each.name: tuple(each.dims) for each in graph.initializer}
    shapes = {
        each.name: [side.dim_value for side in each.type.tensor_type.shape.dim]
        for each in [*graph.value_info, *graph.input, *graph.output]
    }
    # A quantised weight is two operators ahead of the convolution that uses it.
    made_by = {name: node for node in graph.node for name in node.output}
    work: dict[str, LayerWork] = {}
    for node in graph.node:
        output = shapes.get(node.output[0], [])
        activations = sum(_size(shapes.get(name, [])) for name in node.input) + _size(output)
        if node.op_type in ("Conv", "Gemm"):
            kernel = _weight_shape(node.input[1], weights, made_by)
            macs = _size(output[2:] or [1]) * _size(kernel)
            work[node.name] = LayerWork(_kind(node, kernel), macs, _size(kernel), activations)
        elif node.op_type == "Identity" and node.input[0] in work:
            work[node.name] = work[node.input[0]]
        else:
            work[node.name] = LayerWork(node.op_type, 0, 0, activations)
    return work


def _weight_shape(
    name: str, weights: dict[str, tuple[int, ...]], made_by: dict[str, onnx.NodeProto]
) -> tuple[int, ...]:
    while name not in weights:
        name = made_by[name].input[0]
    return weights[name]


def _kind(node: onnx.NodeProto, kernel: tuple[int, ...]) -> str:
    if node.op_type == "Gemm":
        return "matrix product"
    groups = next((each.i for each in node.attribute if each.name == "group"), 1)
    size = f"{kernel[2]}x{kernel[3]}"
    if groups > 1:
        return f"depthwise {size}"
    return "pointwise" if size == "1x1" else f"convolution {size}"


def _size(shape: Sequence[int]) -> int:
    return math.prod(shape) if shape else 0
