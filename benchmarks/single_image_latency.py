"""Time one prepared image through the network: Keras, run in several ways, against ONNX.

    python benchmarks/single_image_latency.py [--model pplcnet_x1_0] [--threads 2]

All ways are interleaved in one process, so the ratios hold on a machine whose speed varies.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from machine import describe_machine

from pplcnet.bundle.manifest import Manifest
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.runtime.engines.onnxruntime import OnnxRuntimeEngine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pplcnet_x1_0")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    print(describe_machine("keras", "tensorflow-cpu", "onnxruntime"))

    size = (arguments.image_size,) * 2
    preprocessing = Preprocessing(image_size=size)
    model = build_model(arguments.model, image_size=size)
    classes = tuple(f"class {n}" for n in range(1000))
    content = to_onnx(model, Manifest(classes, preprocessing, {}), batch=1).SerializeToString()
    engine = OnnxRuntimeEngine(content, threads=arguments.threads)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    normalized = preprocessing.normalize(pixels)
    tensor = tf.constant(normalized)
    graph = tf.function(lambda images: model(images, training=False))
    difference = np.abs(engine.run(pixels)["logits"] - graph(tensor).numpy()).max()

    ways = {
        "Keras model.predict": lambda: model.predict(normalized, verbose=0),
        "Keras model(images)": lambda: model(tensor, training=False).numpy(),
        "tf.function": lambda: graph(tensor).numpy(),
        "exported ONNX in ONNX Runtime": lambda: engine.run(pixels),
    }
    repeats = {name: 3 if name.startswith("Keras") else 10 for name in ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        for _ in range(5):
            way()
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            for _ in range(repeats[name]):
                started = time.perf_counter()
                way()
                times[name].append((time.perf_counter() - started) * 1000)
    print(
        f"{arguments.model}, {size[0]}x{size[1]}, {arguments.threads} threads, largest logit "
        f"difference {difference:.1e}: ms, median (least)"
    )
    reference = statistics.median(times["tf.function"])
    for name, values in times.items():
        median = statistics.median(values)
        print(
            f"{name:<32} {median:8.2f} ({min(values):.2f})  {reference / median:5.2f} x tf.function"
        )
    keras.backend.clear_session()


if __name__ == "__main__":
    main()
