"""Builds an ONNX graph: nodes, constants, and the model around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["OPSET", "OnnxGraph"]

# HardSwish is an operator since opset 14; every engine of recent years reads 17.
OPSET = 17
IR_VERSION = 8


class OnnxGraph:
    """Collects nodes and constants; every tensor is named after the layer that makes it."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add an operator with one output, which gets the node's name."""
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def split(self, source: str, name: str, *, axis: int) -> tuple[str, str]:
        """Cut a tensor into two equal parts and return their names."""
        halves = (f"{name}.0", f"{name}.1")
        self._nodes.append(helper.make_node("Split", [source], halves, name=name, axis=axis))
        return halves

    def to_model(
        self,
        *,
        name: str,
        input_shape: Sequence[int | str],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
        metadata: Mapping[str, str],
    ) -> onnx.ModelProto:
        """The checked model, from `images` uint8 to float32 outputs.

        Args:
            outputs: by the name of each output, its tensor and shape.
        """
        # The first output comes last in the graph: OpenCV returns the last operator's output unless
        # asked for another one.
        for output, (tensor, _) in reversed(list(outputs.items())):
            self.node("Identity", [tensor], output)
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info("images", TensorProto.UINT8, input_shape)],
            [
                helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
                for output, (_, shape) in outputs.items()
            ],
            initializer=list(self._constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="pplcnet",
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model
