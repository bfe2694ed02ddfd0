"""Measure which parts of a detector lose AP in INT8.

    python benchmarks/detector_int8.py RUN

RUN is the folder of a detector from `pplcnet train`. Its training photos give the ranges, its
validation and test photos the AP. Prints a line for each choice of what is quantised: the
difference of AP from float32, with its standard deviation (a bootstrap over the photos), and F1 of
the boxes that are shown, at the bundle's confidence and as the mean around it that guards INT8.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from int8_choice import Choice
from machine import describe_machine

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.exporting.int8 import open_int8, quantize_network
from pplcnet.exporting.int8_ways import (
    WAYS,
    Way,
    depthwise_convolutions,
    layers_after,
    layers_before_stride,
)
from pplcnet.exporting.timing import prepare, run_in_parts
from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.runtime.engines.engine import Engine, open_engine
from pplcnet.tasks import answers_of, find
from pplcnet.tasks.detection.judge import JudgedBoxes
from pplcnet.tasks.detection.judge import judge as judge_of
from pplcnet.tasks.detection.pairing import pair_boxes, shown_from

RESAMPLES = 200


def choices_of(model: onnx.ModelProto, head_inputs: Sequence[str]) -> Iterator[Choice | Way]:
    every = [node.name for node in model.graph.node]
    decoding = layers_after(model, head_inputs)
    neck, head = ([name for name in every if name.startswith(part)] for part in ("neck_", "head_"))
    trunk = [name for name in every if name not in {*neck, *head, *decoding}]
    early = layers_before_stride(model, 8)
    yield Choice("all", [])
    yield Choice("all, asymmetric", [], is_asymmetric=True)
    yield Choice("all but the decoding", decoding)
    yield Choice("all but head and decoding", head + decoding)
    yield Choice("all but neck and decoding", neck + decoding)
    yield Choice("neck and head", trunk + decoding)
    yield Choice("trunk but what is above stride 8", early + neck + head + decoding)
    yield Choice("all but depthwise and decoding", depthwise_convolutions(model) + decoding)
    yield from (way for way in WAYS if way.from_stride > 1 or way.keeps_depthwise)


def shown_f1(judged: JudgedBoxes) -> float:
    """F1 at the bundle's confidence itself."""
    found = zip(judged.judge.truth, judged.found, strict=True)
    confidence = judged.judge.confidence
    return float(
        np.mean([pair_boxes(true, shown_from(each, confidence)).f1 for true, each in found])
    )


def deviation(judged: JudgedBoxes, reference: JudgedBoxes) -> float:
    """The standard deviation of the difference in AP."""
    generator = np.random.default_rng(0)
    images = judged.matches.images
    drawn = [generator.multinomial(images, np.full(images, 1 / images)) for _ in range(RESAMPLES)]
    pairs = [(judged.matches.resampled(each), reference.matches.resampled(each)) for each in drawn]
    return float(np.std([one - other for one, other in pairs if one is not None and other]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run
    print(describe_machine("openvino", "nncf"))
    bundle, photos = Bundle.open(folder / "model.bundle"), Dataset.open(folder / "split.csv")
    manifest, task = bundle.manifest, find(bundle.manifest.task)
    content = cut_network(bundle.read(str(bundle.variant("onnx")["file"])), answers_of(manifest))

    def prepared(images: Sequence[Any]) -> np.ndarray:
        return prepare(manifest.preprocessing, [each.path for each in images])

    exact = open_engine("onnxruntime", content)
    parts = {}
    for split in ("validation", "test"):
        images = photos.subset(split).with_classes(manifest.classes).images
        pixels, judge = prepared(images), judge_of(manifest, images)
        reference = judge.judged(run_in_parts(exact, pixels))
        print(f"float32, {len(images)} {split} photos: AP {reference.value:.4f}")
        parts[split] = (pixels, judge, reference)

    def show(name: str, engine: Engine) -> None:
        texts = [f"{name:34}"]
        for split, (pixels, judge, reference) in parts.items():
            judged = judge.judged(run_in_parts(engine, pixels))
            texts.append(
                f"{split}: AP {judged.value - reference.value:+.4f} "
                f"(sd {deviation(judged, reference):.4f}), "
                f"F1 {shown_f1(judged) - shown_f1(reference):+.4f}, "
                f"around {np.mean(judged.each) - np.mean(reference.each):+.4f}"
            )
        print("  ".join(texts), flush=True)

    show("bfloat16", open_engine("openvino", content, precision="bfloat16"))
    ranges = prepared(photos.subset("train").images)
    for choice in choices_of(onnx.load_from_string(content), task.head_inputs):
        made = quantize_network(content, ranges, task.head_inputs, choice)  # type: ignore[arg-type]
        show(choice.name, open_int8(made.content))


if __name__ == "__main__":
    main()
