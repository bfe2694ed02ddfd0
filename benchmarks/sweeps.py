"""Measure the time per image for each batch size and number of threads, as a table and a plot.

python benchmarks/sweeps.py [--model pplcnet_x1_0] [--out sweeps.png]
"""

from __future__ import annotations

import argparse
import os
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from machine import describe_machine
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pplcnet.bundle.manifest import Manifest
from pplcnet.exporting.timing import measure_latencies
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.runtime.engines.engine import installed_engines, open_engine
from pplcnet.system.processor import available_cores

BATCHES = (1, 2, 4, 8, 16, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pplcnet_x1_0")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--out", default="sweeps.png")
    arguments = parser.parse_args()
    print(describe_machine("onnxruntime", "openvino"))
    size = (arguments.image_size, arguments.image_size)
    preprocessing = Preprocessing(image_size=size)
    model = build_model(arguments.model, image_size=size)
    classes = tuple(f"class {number}" for number in range(1000))
    images = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *size, 3), np.uint8)
    contents = {
        batch: to_onnx(model, Manifest(classes, preprocessing, {}), batch=batch).SerializeToString()
        for batch in BATCHES
    }
    engines = [name for name in ("onnxruntime", "openvino") if name in installed_engines()]
    threads = sorted({2**power for power in range(available_cores().bit_length())})
    ways = {
        (name, count, batch): partial(
            open_engine(name, contents[batch], threads=count).run, images[:batch]
        )
        for name in engines
        for count in threads
        if count <= available_cores()
        for batch in BATCHES
    }
    latencies = measure_latencies(ways, rounds=8, burst_s=0.1)
    print(f"{arguments.model}, {size[0]}x{size[1]}, float32: ms an image, median")
    print(f"{'engine':<14} {'threads':>7}  " + " ".join(f"batch {batch:<3}" for batch in BATCHES))
    lines = {}
    for name, count in dict.fromkeys((name, count) for name, count, _ in ways):
        cost = [latencies[name, count, batch].median_ms / batch for batch in BATCHES]
        lines[f"{name}, {count} thread{'s' if count > 1 else ''}"] = cost
        print(f"{name:<14} {count:>7}  " + " ".join(f"{value:9.2f}" for value in cost))
    draw(lines, arguments)


def draw(lines: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    figure = Figure(figsize=(6, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, cost), marker in zip(lines.items(), "osD^vP*X" * 4, strict=False):
        axes.plot(BATCHES, cost, marker=marker, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("images a run (log)")
    axes.set_ylabel("milliseconds an image")
    axes.set_title(f"{arguments.model}, {arguments.image_size} pixels", fontsize=10, loc="left")
    axes.grid(color="#dddddd")
    axes.legend(fontsize=8)
    figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
