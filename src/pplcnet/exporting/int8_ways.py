"""Quantisation schemes: which layers of a network stay in float, and which ranges are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx

from pplcnet.errors import ConversionError
from pplcnet.system.processor import processor_features

__all__ = [
    "POINTWISE",
    "WAYS",
    "Way",
    "depthwise_convolutions",
    "layers_after",
    "layers_before_stride",
    "usual_way",
]


class Way(NamedTuple):
    """A quantisation scheme: which layers stay in float, and which ranges activations have."""

    name: str
    """Its name in manifests and tables."""
    keeps_depthwise: bool = False
    """Depthwise convolutions stay in float."""
    keeps_head: bool = False
    """Everything after the task's `head_inputs` stays in float. Classifiers lose most there."""
    from_stride: int = 1
    """Layers with more positions per side than the input's divided by this stay in float."""
    is_asymmetric: bool = False
    """Hard-swish has a short tail below zero and a long one above. Asymmetric ranges lose less
    accuracy, but OpenVINO has no AMX kernels for them."""

    def in_float(self, model: onnx.ModelProto, head_inputs: Sequence[str]) -> list[str]:
        """Names of the nodes that are not quantised."""
        names = layers_before_stride(model, self.from_stride)
        if self.keeps_depthwise:
            names += depthwise_convolutions(model)
        if self.keeps_head:
            names += layers_after(model, head_inputs)
        return names


POINTWISE = Way("pointwise layers", keeps_depthwise=True, keeps_head=True, is_asymmetric=True)
WAYS = (
    POINTWISE,
    Way("all layers"),
    Way("all layers, asymmetric", is_asymmetric=True),
    Way("from stride 8", keeps_head=True, from_stride=8),
    Way("from stride 8, asymmetric", keeps_head=True, from_stride=8, is_asymmetric=True),
    Way("from stride 16", from_stride=16),
    Way("from stride 16, head in float", keeps_head=True, from_stride=16),
    Way("from stride 32", from_stride=32),
)
"""The schemes worth trying. Which is fastest depends on the processor, which are accurate enough on
the network (docs/decisions/2026-11-26-int8-by-measurement.md)."""


def usual_way() -> Way:
    """The scheme that is usually fastest on this kind of processor, used without measuring."""
    has_amx = "amx_int8" in processor_features()
    return (
        next(way for way in WAYS if way.name == "from stride 16, head in float")
        if has_amx
        else POINTWISE
    )


def depthwise_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the grouped convolutions, in graph order."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and any(each.name == "group" and each.i > 1 for each in node.attribute)
    ]


def layers_before_stride(model: onnx.ModelProto, stride: int) -> list[str]:
    """Names of the nodes whose output has more positions than the input has / stride^2."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    sizes = {
        each.name: [side.dim_value for side in each.type.tensor_type.shape.dim]
        for each in inferred.value_info
    }
    _, height, width, _ = (
        side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim
    )
    most = -(-height // stride) * -(-width // stride)
    large = {
        name
        for name, shape in sizes.items()
        if stride > 1 and len(shape) == 4 and np.prod(shape[2:]) > most
    }
    # Before the transposition, the layout is channels last.
    first = (
        next((at for at, node in enumerate(model.graph.node) if node.op_type == "Conv"), 0)
        if stride > 1
        else 0
    )
    return [
        node.name
        for at, node in enumerate(model.graph.node)
        if at < first or large.intersection(node.output)
    ]


def layers_after(model: onnx.ModelProto, names: Sequence[str]) -> list[str]:
    """Names of all nodes that depend on the named ones, in graph order.

    Raises:
        ConversionError: the graph has none of the names.
    """
    nodes = list(model.graph.node)
    if names and not {*names} & {node.name for node in nodes}:
        raise ConversionError(
            f"the network has no layer {min(names)!r}, after which its head should begin."
        )
    reached = {output for node in nodes if node.name in names for output in node.output}
    found = []
    for node in nodes:
        if reached.intersection(node.input):
            reached.update(node.output)
            found.append(node.name)
    return found
