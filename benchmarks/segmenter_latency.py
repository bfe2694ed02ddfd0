"""Milliseconds per image for the segmentation networks: heads, engines and precisions.

    python benchmarks/segmenter_latency.py [--threads 1 2] [--size 512 1024]
        [--paddle PATH/TO/python-with-paddle] [--torch PATH/TO/python-with-torchvision]

Weights are random, which does not affect time. All ways of a network are interleaved. The logits
are at the head's own resolution. "class map" adds computing a class for every input pixel: the
runtime's way, which computes only the pixels between cells that disagree, on logits with regions as
large as a trained network's; the same in full, in numpy; and as the last operators of the graph.
INT8's ranges come from noise: only its time is measured. Paddle gets the same graph, with BatchNorm
folded and without the normalisation, and without oneDNN, whose resize fails in Paddle 3.3. PyTorch
has torchvision's LR-ASPP on MobileNetV3 large, which ends in full-size logits without argmax.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from detector_latency import paddle_way, timed_by, write_graph
from PIL import Image

from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.exporting.export import ONNX_FILE
from pplcnet.exporting.int8 import quantize_network
from pplcnet.exporting.int8_ways import usual_way
from pplcnet.exporting.segmenter_files import export_file
from pplcnet.exporting.timing import measure_latencies
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.engines.engine import installed_engines, open_engine
from pplcnet.system.processor import has_bfloat16, processor_features, processor_name
from pplcnet.tasks import find
from pplcnet.tasks.segmentation.class_maps import class_map
from pplcnet.tasks.segmentation.head import build_segmenter
from pplcnet.tasks.segmentation.resizing import resize

CLASSES = tuple(f"class {at}" for at in range(19))
NETWORKS = [f"{head}_pplcnet_x0_5" for head in ("mobileseg", "lraspp", "deeplabv3p")]
REGIONS = (6, 10)
"""Down and across: about as many as in a street scene."""


def network(name: str, size: tuple[int, int]) -> tuple[bytes, Manifest]:
    """An exported network with random weights."""
    keras.utils.set_random_seed(0)
    manifest = Manifest(
        CLASSES,
        Preprocessing(size, "stretch"),
        {"name": name, "options": {}},
        task="segmentation",
        outputs=find("segmentation").outputs(CLASSES, size, name),
    )
    model = build_segmenter(name, classes=len(CLASSES), image_size=size)
    content: bytes = to_onnx(model, manifest, batch=1).SerializeToString()
    return content, manifest


def graph_with_argmax(content: bytes, manifest: Manifest, image: np.ndarray) -> bytes:
    """The file of `pplcnet export --class-map`."""
    variants = {"onnx": {"file": ONNX_FILE, "batch": 1, "precision": "float32"}}
    whole = Manifest(
        manifest.classes,
        manifest.preprocessing,
        manifest.network,
        task=manifest.task,
        outputs=manifest.outputs,
        variants=variants,
    )
    with tempfile.TemporaryDirectory() as folder:
        photo, bundle = Path(folder, "photo.png"), Path(folder, "a.bundle")
        Image.fromarray(image[0]).save(photo)
        write_bundle(bundle, whole, {ONNX_FILE: content})
        return export_file(bundle, Path(folder, "maps.onnx"), [photo]).read_bytes()


def in_onnxruntime(content: bytes, image: np.ndarray, threads: int) -> Callable[[], Any]:
    """A function that runs a file which the library's own engines would refuse."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return partial(session.run, None, {"images": image})


def measure(name: str, threads: int, arguments: argparse.Namespace) -> None:
    """Print a table."""
    size: tuple[int, int] = (arguments.size[0], arguments.size[1])
    content, manifest = network(name, size)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (8, *size, 3), np.uint8)
    image = images[:1]
    ways: dict[str, Callable[[], Any]] = {
        "ONNX Runtime float32": partial(
            open_engine("onnxruntime", content, threads=threads).run, image
        )
    }
    if "openvino" in installed_engines():
        precisions = {"float32": content}
        if has_bfloat16(processor_features()):
            precisions["bfloat16"] = content
        if arguments.int8:
            heads = find("segmentation").head_inputs
            made = quantize_network(content, images, heads, usual_way(), is_rough=True)
            precisions["int8"] = made.content
        for precision, file in precisions.items():
            engine = open_engine("openvino", file, precision=precision, threads=threads)
            ways[f"OpenVINO {precision}"] = partial(engine.run, image)
    whole = graph_with_argmax(content, manifest, image)
    ways["class map in the graph, ONNX Runtime"] = in_onnxruntime(whole, image, threads)
    shape = manifest.outputs["logits"]
    coarse = generator.standard_normal((*REGIONS, len(CLASSES))).astype(np.float32)
    logits = 5 * resize(coarse, (shape[0], shape[1]))
    logits += generator.normal(0, 0.1, shape).astype(np.float32)
    ways["class map of logits, one thread"] = partial(class_map, logits, Geometry(size[::-1]), size)
    ways["class map of logits in full, one thread"] = lambda: resize(logits, size).argmax(axis=2)
    note = ""
    with ExitStack() as stack:
        if arguments.paddle:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()), f"{name}.npz")
            write_graph(content, manifest, image, place)
            said, ways["Paddle Inference float32"] = paddle_way(
                arguments.paddle, place, threads, stack
            )
            note = f"; Paddle {said['version']} differs by {said['difference']:.1e}"
        if arguments.torch:
            given = [arguments.torch, "rival_segmenter_latency.py", *map(str, (threads, *size))]
            said, ways["torchvision LR-ASPP, PyTorch"] = timed_by(given, stack)
            note += f"; PyTorch {said['version']}, {said['parameters']:,} parameters"
        found = measure_latencies(ways, rounds=arguments.rounds)
    print(f"\n{name}, {size[0]}x{size[1]}, {len(CLASSES)} classes, {threads} threads{note}\n")
    print("| way | median ms | 90 % |\n|---|---|---|")
    for label, latency in found.items():
        print(f"| {label} | {latency.median_ms:.2f} | {latency.p90_ms:.2f} |", flush=True)


def main() -> None:
    """Print a table for each network and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("H", "W"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--int8", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--paddle", metavar="PYTHON", help="a Python that has Paddle")
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torchvision")
    arguments = parser.parse_args()
    print(processor_name())
    for name in arguments.networks:
        for threads in arguments.threads:
            measure(name, threads, arguments)


if __name__ == "__main__":
    main()
