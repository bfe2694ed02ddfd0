"""Run one of our networks in Paddle Inference: a separate process with Paddle's Python.

Reads the files of `detector_latency.py`: NAME.npz (constants, one image, its outputs) and
NAME.graph (the operators). Builds the same graph from Paddle's operators, saves it as an inference
model, compares its outputs, and then answers every line on stdin with the milliseconds of one run.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import inference
from paddle.nn import functional


class Graph(paddle.nn.Layer):  # type: ignore[misc]
    """The operators of an exported network after the normalisation of the image."""

    def __init__(self, graph: dict[str, Any], constants: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.nodes, self.outputs, self.shapes = graph["nodes"], graph["outputs"], {}
        for name, values in constants.items():
            if values.dtype == np.int64 or name.endswith((".scales", ".roi")):
                self.shapes[name] = values.tolist()
            else:
                values = np.atleast_1d(values)
                start = paddle.nn.initializer.Assign(values)
                made = self.create_parameter(list(values.shape), default_initializer=start)
                self.add_parameter(name.replace(".", "__"), made)

    def forward(self, image: Any) -> tuple[Any, ...]:  # noqa: C901 - an operator a branch
        known = {"images_centred": image}

        def value(name: str) -> Any:
            return known[name] if name in known else getattr(self, name.replace(".", "__"))

        for node in self.nodes:
            kind, inputs, more = node["kind"], node["inputs"], node["attributes"]
            x = value(inputs[0])
            if kind == "Conv":
                pads = more["pads"]
                result = functional.conv2d(
                    x, value(inputs[1]), value(inputs[2]) if len(inputs) > 2 else None,
                    stride=more["strides"], padding=[pads[0], pads[2], pads[1], pads[3]],
                    groups=more["group"], dilation=more.get("dilations", 1),
                )  # fmt: skip
            elif kind == "Concat":
                result = paddle.concat([value(each) for each in inputs], axis=more["axis"])
            elif kind == "Reshape":
                result = paddle.reshape(x, self.shapes[inputs[1]])
            elif kind == "Resize" and more["mode"] == "linear":
                scales = self.shapes[inputs[2]][2:]
                size = [int(x.shape[2] * scales[0]), int(x.shape[3] * scales[1])]
                result = functional.interpolate(x, size, mode="bilinear", align_corners=False)
            elif kind == "Resize":
                result = paddle.repeat_interleave(paddle.repeat_interleave(x, 2, axis=2), 2, axis=3)
            elif kind == "Clip":
                result = paddle.clip(x, 0.0, 1.0)
            elif kind == "Softmax":
                result = functional.softmax(x, axis=-1)
            elif kind == "Transpose":
                result = paddle.transpose(x, more["perm"])
            elif kind in ("Add", "Mul", "MatMul"):
                join = {"Add": paddle.add, "Mul": paddle.multiply, "MatMul": paddle.matmul}[kind]
                result = join(x, value(inputs[1]))
            else:
                one = {
                    "HardSwish": functional.hardswish, "Relu": functional.relu,
                    "Sigmoid": functional.sigmoid, "Sqrt": paddle.sqrt,
                    "Identity": lambda each: each,
                    "GlobalAveragePool": lambda each: functional.adaptive_avg_pool2d(each, 1),
                }  # fmt: skip
                result = one[kind](x)
            known[node["output"]] = result
        return tuple(known[name] for name in self.outputs)


def main() -> None:
    """Build, compare and time."""
    place, threads = Path(sys.argv[1]), int(sys.argv[2])
    described = json.loads(place.with_suffix(".graph").read_text())
    with np.load(place) as arrays:
        arrays = dict(arrays)
    image, expected = arrays.pop("image"), [arrays.pop(name) for name in described["outputs"]]
    graph = Graph(described, arrays)
    graph.eval()
    spec = paddle.static.InputSpec(image.shape, "float32", "image")
    paddle.jit.save(graph, str(place.with_suffix("")), input_spec=[spec])
    program = place.with_suffix(".json")
    config = inference.Config(str(program), f"{place.with_suffix('')}.pdiparams")
    config.disable_gpu()
    if any(each["attributes"].get("mode") == "linear" for each in described["nodes"]):
        config.disable_mkldnn()  # its bilinear resize rejects its own attributes in Paddle 3.3
    else:
        config.enable_mkldnn()
    config.set_cpu_math_library_num_threads(threads)
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    given = predictor.get_input_handle(predictor.get_input_names()[0])
    outputs = [predictor.get_output_handle(name) for name in predictor.get_output_names()]

    def run() -> list[np.ndarray]:
        given.copy_from_cpu(image)
        predictor.run()
        return [each.copy_to_cpu() for each in outputs]

    difference = max(
        float(np.abs(found - each).max() / np.abs(each).max())
        for found, each in zip(run(), expected, strict=True)
    )
    print(json.dumps({"difference": difference, "version": paddle.__version__}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        run()
        print((time.perf_counter() - started) * 1000, flush=True)


if __name__ == "__main__":
    main()
