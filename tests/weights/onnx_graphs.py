"""Small ONNX files for tests of what is read from them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["a_convolution_and_its_sigmoid"]


def a_convolution_and_its_sigmoid() -> onnx.ModelProto:
    """A convolution of three channels to two with a sigmoid behind it, as `image` to `scores`."""
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(2, 3, 3, 3)).astype("f4")
    tensors = [
        numpy_helper.from_array(kernel, "kernel"),
        helper.make_tensor("bias", TensorProto.FLOAT, [2], [0.5, -0.5]),  # numbers, not raw bytes
    ]
    nodes = [
        helper.make_node(
            "Conv", ["image", "kernel", "bias"], ["logits"], pads=[1, 1, 1, 1], strides=[2, 2]
        ),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 64, 96])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)]
    return helper.make_model(helper.make_graph(nodes, "graph", inputs, outputs, tensors))
