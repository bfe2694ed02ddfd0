"""Measure the cost of the output `embedding`: one image with both outputs, and cut to one output.

    python benchmarks/embedding_output.py

Weights are random; the variants of a network are timed interleaved.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import keras
import numpy as np
from machine import describe_machine

from pplcnet.bundle.manifest import Manifest
from pplcnet.exporting.embedding import manifest_with_embedding, with_embedding
from pplcnet.exporting.timing import measure_latencies
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.runtime.engines.engine import installed_engines, open_engine
from pplcnet.tasks import find

NAMES = ("pplcnet_x0_25", "pplcnet_x1_0", "mobilenetv3_large_x1_0")


def main() -> None:
    """Print a row for each network, engine and variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    print(describe_machine())
    task = find("classification")
    for name in arguments.names:
        keras.utils.set_random_seed(0)
        model = to_deploy_form(build_model(name, num_classes=1000))
        classes = tuple(map(str, range(1000)))
        manifest = Manifest(classes, Preprocessing(image_size=(224, 224)), network={})
        manifest = manifest_with_embedding(manifest, model, task)
        content = to_onnx(
            with_embedding(model, manifest, task), manifest, batch=1
        ).SerializeToString()
        started = time.process_time()
        for _ in range(10):
            cut_network(content, ("logits",))
        print(f"{name:<24} cutting takes {(time.process_time() - started) * 100:.2f} ms")
        files = {
            "both outputs": content,
            "cut to logits": cut_network(content, ("logits",)),
            "cut to embedding": cut_network(content, ("embedding",)),
        }
        image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
        for engine in (each for each in installed_engines() if each != "litert"):
            ways = {
                way: partial(open_engine(engine, file, threads=arguments.threads).run, image)
                for way, file in files.items()
            }
            for way, latency in measure_latencies(ways, rounds=arguments.rounds).items():
                print(f"{name:<24} {engine:<12} {way:<18} {latency.median_ms:8.3f} ms")


if __name__ == "__main__":
    main()
