"""Measure which parts of a segmenter lose mIoU in INT8, and what each choice costs.

    python benchmarks/segmenter_int8.py RUN [PHOTOS] [--ways] [--times]

RUN is the folder of a segmenter from `pplcnet train`, PHOTOS its data if that has its own splits.
The training photos give the ranges, the validation and test photos the mIoU. Prints a line for each
choice of what is quantised: the difference of mIoU from float32, with its standard deviation (a
bootstrap over the photos), the fraction of the logits' cells that keep their class, and with
--times the milliseconds of one image on all cores, interleaved.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from int8_choice import Choice
from machine import describe_machine

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset
from pplcnet.exporting.images import evenly_chosen
from pplcnet.exporting.int8 import open_int8, quantize_network
from pplcnet.exporting.int8_ways import (
    WAYS,
    Way,
    depthwise_convolutions,
    layers_after,
    layers_before_stride,
)
from pplcnet.exporting.quantization import CALIBRATION_IMAGES
from pplcnet.exporting.timing import measure_latencies, prepare, run_in_parts
from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.runtime.engines.engine import Engine, open_engine
from pplcnet.tasks import answers_of, find
from pplcnet.tasks.segmentation.areas import miou_of
from pplcnet.tasks.segmentation.judge import JudgedMasks, MaskJudge
from pplcnet.tasks.segmentation.judge import judge as judge_of

RESAMPLES = 500


def choices_of(model: onnx.ModelProto, head_inputs: Sequence[str]) -> Iterator[Choice | Way]:
    every = [node.name for node in model.graph.node]
    last = layers_after(model, head_inputs)
    trunk = [name for name in every if name.startswith(("conv1", "blocks", "backbone"))]
    others = [name for name in every if name not in trunk]
    yield Choice("all", [])
    yield Choice("all, asymmetric", [], is_asymmetric=True)
    yield Choice("all but the last layer", last)
    yield Choice("all but the head", others)
    yield Choice("all but the trunk", trunk)
    for stride in (4, 8):
        early = layers_before_stride(model, stride)
        yield Choice(f"all but what is above stride {stride}", early)
        trunk_early = [name for name in early if name in trunk]
        yield Choice(f"all but the trunk above stride {stride}, asymmetric", trunk_early, True)
    yield Choice("all but depthwise", depthwise_convolutions(model))
    yield from WAYS


def deviation(judged: JudgedMasks, reference: JudgedMasks) -> float:
    """The standard deviation of the difference in mIoU."""
    generator = np.random.default_rng(0)
    images = len(judged.kept)
    times = generator.multinomial(images, np.full(images, 1 / images), RESAMPLES).astype(float)
    values = [
        miou_of(*(np.tensordot(times, areas, axes=1).transpose(1, 0, 2)))
        for areas in (
            np.stack([each.areas for each in found.kept]) for found in (judged, reference)
        )
    ]
    return float(np.nanstd(values[0] - values[1]))


class Part(NamedTuple):
    """Labelled photos, and float32's result on them."""

    split: str
    pixels: np.ndarray
    judge: MaskJudge
    reference: JudgedMasks


def parts_of(photos: Dataset, manifest: Manifest, exact: Engine) -> Iterator[Part]:
    for split in ("validation", "test"):
        images = photos.subset(split).with_classes(manifest.classes).images
        pixels = prepare(manifest.preprocessing, [each.path for each in images])
        judge = judge_of(manifest, images)
        reference = judge.judged(run_in_parts(exact, pixels))
        print(f"float32, {len(images)} {split} photos: mIoU {reference.value:.4f}")
        yield Part(split, pixels, judge, reference)


def show(name: str, engine: Engine, parts: Sequence[Part]) -> None:
    texts = [f"{name:48}"]
    for part in parts:
        judged = part.judge.judged(run_in_parts(engine, part.pixels))
        texts.append(
            f"{part.split}: {judged.value - part.reference.value:+.4f} "
            f"(sd {deviation(judged, part.reference):.4f}), "
            f"{judged.agreement(part.reference):.1%} of the cells"
        )
    print("  ".join(texts), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--ways", action="store_true", help="only those that 'quantize' tries")
    parser.add_argument("--times", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.run
    print(describe_machine("openvino", "nncf"))
    bundle = Bundle.open(folder / "model.bundle")
    photos = Dataset.open(arguments.photos or folder / "split.csv")
    manifest, task = bundle.manifest, find(bundle.manifest.task)
    content = cut_network(bundle.read(str(bundle.variant("onnx")["file"])), answers_of(manifest))
    exact = open_engine("onnxruntime", content)
    parts = list(parts_of(photos, manifest, exact))
    image = parts[0].pixels[:1]
    ways: dict[str, Callable[[], object]] = {"ONNX Runtime float32": partial(exact.run, image)}
    for precision in ("float32", "bfloat16"):
        engine = open_engine("openvino", content, precision=precision)
        ways[f"OpenVINO {precision}"] = partial(engine.run, image)
        show(f"OpenVINO {precision}", engine, parts)
    chosen = evenly_chosen(photos.subset("train").images, CALIBRATION_IMAGES)
    ranges = prepare(manifest.preprocessing, [each.path for each in chosen])
    model = onnx.load_from_string(content)
    for choice in WAYS if arguments.ways else choices_of(model, task.head_inputs):
        made = quantize_network(content, ranges, task.head_inputs, choice)  # type: ignore[arg-type]
        show(choice.name, open_int8(made.content), parts)
        engine = open_engine("openvino", made.content, precision="int8")
        ways[choice.name] = partial(engine.run, image)
    if arguments.times:
        for name, latency in measure_latencies(ways, rounds=6, burst_s=0.03).items():
            print(f"{name:48}{latency.median_ms:8.2f} ms")


if __name__ == "__main__":
    main()
