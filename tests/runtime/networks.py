"""Small networks as the exporter and the quantiser write them, made without Keras."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from pplcnet.exporting.onnx_graph import OnnxGraph


def small_network(batch: int | str = 1) -> onnx.ModelProto:
    """Convolution, gate, shuffle, quantised values and classifier, as exported."""
    rng = np.random.default_rng(0)
    graph = OnnxGraph()

    def constant(name: str, *shape: int) -> str:
        return graph.constant(name, rng.normal(size=shape).astype(np.float32))

    name = graph.node("Transpose", ["images"], "images_nchw", perm=[0, 3, 1, 2])
    name = graph.node("Cast", [name], "images_float", to=TensorProto.FLOAT)
    name = graph.node("Sub", [name, constant("mean", 1, 3, 1, 1)], "images_centred")
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    weights = [constant("stem.weight", 4, 3, 3, 3), constant("stem.bias", 4)]
    name = graph.node("Conv", [name, *weights], "stem", group=1, **window)
    name = graph.node("HardSwish", [name], "stem.swish")
    gate = graph.node("GlobalAveragePool", [name], "pool")
    gate = graph.node("Sigmoid", [gate], "gate")
    name = graph.node("Mul", [name, gate], "scaled")
    sizes = graph.constant("halves", np.array([0, 2, 2, 4, 4], np.int64))
    name = graph.node("Reshape", [name, sizes], "apart")
    name = graph.node("Transpose", [name], "turned", perm=[0, 2, 1, 3, 4])
    sizes = graph.constant("joined", np.array([0, 4, 4, 4], np.int64))
    name = graph.node("Reshape", [name, sizes], "shuffled")
    scales = [
        graph.constant("scale", np.array(0.1, np.float32)),
        graph.constant("zero", np.zeros((), np.uint8)),
    ]
    name = graph.node("QuantizeLinear", [name, *scales], "quantized")
    name = graph.node("DequantizeLinear", [name, *scales], "values")
    name = graph.node("MaxPool", [name], "most", **window)
    name = graph.node("GlobalAveragePool", [name], "average")
    name = graph.node("Flatten", [name], "flat", axis=1)
    last = [constant("fc.weight", 4, 2), constant("fc.bias", 2)]
    name = graph.node("Gemm", [name, *last], "fc")
    model = graph.to_model(
        name="small",
        input_shape=[batch, 8, 8, 3],
        outputs={"logits": (name, [batch, 2])},
        metadata={"classes": '["a", "b"]'},
    )
    # The quantiser's scales have no dimensions; the exporter's constants have at least one.
    for each in model.graph.initializer:
        if each.name in scales:
            each.ClearField("dims")
    return model


def detector_of(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], size: tuple[int, int]
) -> onnx.ModelProto:
    """A detector for inputs of `size` (height, width) that finds the same in every image.

    Args:
        boxes: (cells, 4), x1, y1, x2, y2 in pixels of the input; scores (cells, classes).
    """
    graph = OnnxGraph()
    name = graph.node("Transpose", ["images"], "images_nchw", perm=[0, 3, 1, 2])
    name = graph.node("Cast", [name], "images_float", to=TensorProto.FLOAT)
    name = graph.node("GlobalAveragePool", [name], "pool")
    flat = graph.node("Flatten", [name], "flat", axis=1)
    outputs = {}
    for output, values in (("boxes", boxes), ("scores", scores)):
        weight = graph.constant(f"{output}.weight", np.zeros((3, values.size), np.float32))
        bias = graph.constant(f"{output}.bias", values.ravel())
        name = graph.node("Gemm", [flat, weight, bias], f"{output}.flat")
        shape = graph.constant(f"{output}.shape", np.array([1, *values.shape], np.int64))
        name = graph.node("Reshape", [name, shape], f"{output}.shaped")
        outputs[output] = (name, [1, *values.shape])
    return graph.to_model(name="detector", input_shape=[1, *size, 3], outputs=outputs, metadata={})
