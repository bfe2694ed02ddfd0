"""Milliseconds per image for PicoDet: engines and precisions, and Paddle Inference.

    python benchmarks/detector_latency.py [--paddle PATH/TO/python-with-paddle] [--threads 2]

Weights are random, which does not affect time; boxes and scores are taken before suppression. All
ways are interleaved. Paddle gets the same graph, with BatchNorm folded and without the
normalisation, which counts for the others. INT8's ranges come from noise: only its time is
measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from pplcnet.bundle.manifest import Manifest
from pplcnet.exporting.int8 import quantize_network
from pplcnet.exporting.int8_ways import usual_way
from pplcnet.exporting.timing import measure_latencies
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.engines.engine import installed_engines, open_engine
from pplcnet.system.processor import has_bfloat16, processor_features, processor_name
from pplcnet.tasks import find
from pplcnet.tasks.detection.head import build_picodet

CLASSES = tuple(f"class {at}" for at in range(80))


def network(name: str, side: int) -> tuple[bytes, Manifest]:
    """An exported detector with random weights."""
    keras.utils.set_random_seed(0)
    task = find("detection")
    manifest = Manifest(
        CLASSES,
        Preprocessing((side, side), "stretch", interpolation="opencv-bicubic"),
        {"name": name, "options": {}},
        task=task.name,
        outputs=task.outputs(CLASSES, (side, side), name),
    )
    model = build_picodet(name, image_size=side)
    content: bytes = to_onnx(model, manifest, batch=1).SerializeToString()
    return content, manifest


def write_graph(content: bytes, manifest: Manifest, image: np.ndarray, place: Path) -> None:
    """Write what `paddle_detector.py` reads: the operators after the normalisation of the input."""
    model = onnx.load_from_string(content)
    outputs = open_engine("onnxruntime", content).run(image)
    mean = np.asarray(manifest.preprocessing.mean, np.float32)
    centred = image.astype(np.float32) - 255 * mean
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    nodes = list(model.graph.node)
    first = 1 + next(at for at, each in enumerate(nodes) if "images_centred" in each.output)
    used = {name for each in nodes[first:] for name in each.input}
    arrays: dict[str, Any] = {"image": centred.transpose(0, 3, 1, 2), **outputs}
    arrays |= {name: values for name, values in constants.items() if name in used}
    np.savez(place, **arrays)
    written = [
        {
            "kind": each.op_type,
            "inputs": list(each.input),
            "output": each.output[0],
            "attributes": {one.name: _plain(one) for one in each.attribute},
        }
        for each in nodes[first:]
    ]
    graph = {"nodes": written, "outputs": list(outputs)}
    place.with_suffix(".graph").write_text(json.dumps(graph))


def _plain(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode() if isinstance(value, bytes) else value


def paddle_way(
    python: str, place: Path, threads: int, stack: ExitStack
) -> tuple[dict[str, Any], Callable[[], float]]:
    """What the process reports about itself, and a function that times one run in it."""
    return timed_by([python, "paddle_detector.py", str(place), str(threads)], stack)


def timed_by(command: list[str], stack: ExitStack) -> tuple[dict[str, Any], Callable[[], float]]:
    """As `paddle_way`, for another script in this folder: a Python, the script, its arguments."""
    python, name, *given_arguments = command
    script = Path(__file__).with_name(name)
    process = stack.enter_context(
        subprocess.Popen(
            [python, str(script), *given_arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    stack.callback(process.kill)
    assert process.stdin is not None
    assert process.stdout is not None
    given, answered = process.stdin, process.stdout
    line = next((each for each in answered if each.startswith("{")), "")
    if not line:
        raise SystemExit(f"{python} {script} gave no answer; run it alone to see why.")

    def run() -> float:
        given.write("\n")
        given.flush()
        return float(answered.readline())

    return json.loads(line), run


def measure(name: str, arguments: argparse.Namespace) -> None:
    """Print a table."""
    content, manifest = network(name, arguments.size)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (8, arguments.size, arguments.size, 3), np.uint8)
    image = images[:1]
    ways: dict[str, Callable[[], Any]] = {}
    engines = installed_engines()
    ways["ONNX Runtime float32"] = partial(
        open_engine("onnxruntime", content, threads=arguments.threads).run, image
    )
    if "openvino" in engines:
        precisions = {"float32": content}
        if has_bfloat16(processor_features()):
            precisions["bfloat16"] = content
        if arguments.int8:
            task = find("detection")
            way = usual_way()
            made = quantize_network(content, images, task.head_inputs, way, is_rough=True)
            precisions["int8"] = made.content
            if "bfloat16" in precisions:  # for the layers that stay in float
                precisions["int8-bfloat16"] = made.content
        for precision, file in precisions.items():
            engine = open_engine("openvino", file, precision=precision, threads=arguments.threads)
            ways[f"OpenVINO {precision}"] = partial(engine.run, image)
    note = ""
    with ExitStack() as stack:
        if arguments.paddle:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            place = folder / f"{name}.npz"
            write_graph(content, manifest, image, place)
            said, ways["Paddle Inference float32"] = paddle_way(
                arguments.paddle, place, arguments.threads, stack
            )
            note = f"; Paddle {said['version']} differs by {said['difference']:.1e}"
        found = measure_latencies(ways, rounds=arguments.rounds)
    print(f"\n{name}, {arguments.size}x{arguments.size}, {arguments.threads} threads{note}\n")
    print("| way | median ms | 90 % |\n|---|---|---|")
    for label, latency in found.items():
        print(f"| {label} | {latency.median_ms:.2f} | {latency.p90_ms:.2f} |")


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["picodet_xs", "picodet_s"])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--paddle", metavar="PYTHON", help="a Python that has Paddle")
    parser.add_argument("--int8", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    print(processor_name())
    for name in arguments.networks:
        measure(name, arguments)


if __name__ == "__main__":
    main()
