"""Time the path from a photo's file to its boxes, and the share of each step.

    python benchmarks/jpeg_to_boxes.py BUNDLE PHOTOS [--threads 2] [--rounds 10] [--count 50]

BUNDLE is an exported detector, PHOTOS a folder of JPEGs. Every engine and precision available in
the bundle and on this machine is measured, interleaved photo by photo. Steps are timed separately:
reading and decoding, resizing (with decoding, minus decoding alone), the network, and suppression
with the mapping to the photo's pixels. Prints medians over all photos and rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine

from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError
from pplcnet.imaging.decoding import decode_image
from pplcnet.imaging.files import read_image_file
from pplcnet.runtime.detector import Detector
from pplcnet.system.processor import has_bfloat16, processor_features, processor_name
from pplcnet.tasks import find

WAYS = (
    ("onnxruntime", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("openvino", "int8-bfloat16"),
)
STEPS = ("decode", "resize", "network", "suppression")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call, and its milliseconds."""
    start = time.perf_counter()
    result = call()
    return result, 1000 * (time.perf_counter() - start)


def measure(detector: Detector, photo: Path) -> dict[str, float]:
    """Milliseconds of the whole path and of each step."""
    manifest = detector.manifest
    preprocessing = manifest.preprocessing_on(processor_name())
    decoder = find(manifest.task).decoder(manifest)
    _, total = timed(lambda: detector.predict(photo))
    _, decoding = timed(lambda: decode_image(read_image_file(photo)))
    placed, placing = timed(lambda: preprocessing.place(photo))
    outputs, network = timed(lambda: detector.run(placed.pixels[np.newaxis]))
    one = {name: each[0] for name, each in outputs.items()}
    _, suppression = timed(lambda: decoder(one, placed.geometry, str(photo)))
    return {
        "total": total,
        "decode": decoding,
        "resize": placing - decoding,
        "network": network,
        "suppression": suppression,
    }


def open_all(bundle: str, threads: int, stack: ExitStack) -> dict[str, Detector]:
    """A detector for each engine and precision of the bundle on this machine."""
    detectors = {}
    for engine, precision in WAYS:
        if "bfloat16" in precision and not has_bfloat16(processor_features()):
            continue
        try:
            opened = Detector(bundle, threads=threads, engine=engine, precision=precision)
        except InputError as error:
            print(f"left out: {error}")
            continue
        detectors[f"{engine} {precision}"] = stack.enter_context(opened)
    return detectors


def main() -> None:
    """Print a row for each engine and precision."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=50)
    arguments = parser.parse_args()
    photos = list(find_images(Path(arguments.photos)))[: arguments.count]
    if not photos:
        raise SystemExit(f"{arguments.photos}: holds no photos.")
    print(describe_machine("onnxruntime", "openvino", "simplejpeg", "opencv-python-headless"))
    with ExitStack() as stack:
        detectors = open_all(arguments.bundle, arguments.threads, stack)
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for at in range(arguments.rounds + 1):
            for photo in photos:
                for name, detector in detectors.items():
                    for step, value in measure(detector, photo).items():
                        if at:  # the first round fills caches
                            found[name][step].append(value)
    print(f"\n{len(photos)} photos, {arguments.rounds} rounds, {arguments.threads} threads, ms\n")
    print(f"| way | JPEG to boxes, p50 | p90 | {' | '.join(STEPS)} |\n|---|---|---|{'---|' * 4}")
    for name, steps in found.items():
        total = statistics.median(steps["total"])
        parts = [statistics.median(steps[step]) for step in STEPS]
        shown = [f"{part:.2f} ({part / total:.0%})" for part in parts]
        p90 = statistics.quantiles(steps["total"], n=10)[-1]
        print(f"| {name} | {total:.2f} | {p90:.2f} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
