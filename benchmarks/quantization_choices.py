"""Measure what each INT8 choice costs in accuracy and gains in time, on a trained bundle.

    python benchmarks/quantization_choices.py BUNDLE PHOTOS

BUNDLE is an exported bundle, PHOTOS a data set with train, validation and test splits: the first
gives the ranges, the other two the accuracy. "error" is the root mean square of the change in the
logits, relative to that of the logits. One thread; the choices are interleaved.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
from functools import partial

os.environ.setdefault("NNCF_CI", "1")  # otherwise it would send usage statistics
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # likewise

import nncf
import numpy as np
import onnx
from machine import describe_machine
from nncf import AdvancedQuantizationParameters, QuantizationPreset
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.exporting.int8_ways import depthwise_convolutions, layers_after
from pplcnet.exporting.timing import measure_latencies, prepare, run_all
from pplcnet.runtime.engines.engine import open_engine
from pplcnet.tasks import find


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("photos")
    arguments = parser.parse_args()
    nncf.set_log_level(logging.ERROR)
    print(describe_machine("openvino", "nncf"))
    bundle, photos = Bundle.open(arguments.bundle), Dataset.open(arguments.photos)
    preprocessing = bundle.manifest.preprocessing
    content = bundle.read(str(bundle.variant("onnx")["file"]))
    training = photos.subset("train").images
    calibration = prepare(preprocessing, [each.path for each in training[:: len(training) // 300]])
    held_out = [*photos.subset("validation").images, *photos.subset("test").images]
    images = prepare(preprocessing, [each.path for each in held_out])
    labels = np.asarray([each.shown[0] for each in held_out])
    reference = run_all(open_engine("onnxruntime", content, threads=1), images)["logits"]

    model = onnx.load_from_string(content)
    depthwise = depthwise_convolutions(model)
    head = layers_after(model, find(bundle.manifest.task).head_inputs)
    histogram = AdvancedQuantizationParameters(
        activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM
    )
    asymmetric = {"preset": QuantizationPreset.MIXED}
    choices = {
        "everything, as NNCF does": ([], {}),
        "depthwise in float": (depthwise, {}),
        "... and the head": (depthwise + head, {}),
        "... asymmetric ranges": (depthwise + head, asymmetric),
        "... cut by histogram": (
            depthwise + head, asymmetric | {"advanced_parameters": histogram},
        ),
    }  # fmt: skip
    engines = {"float32": open_engine("openvino", content, threads=1)}
    for name, (in_float, options) in choices.items():
        with contextlib.redirect_stdout(io.StringIO()):
            quantized = nncf.quantize(
                onnx.load_from_string(content),
                nncf.Dataset(calibration[:, np.newaxis], lambda image: {"images": image}),
                subset_size=len(calibration),
                ignored_scope=nncf.IgnoredScope(names=in_float, validate=False),
                **options,
            ).SerializeToString()
        engines[name] = open_engine("openvino", quantized, precision="int8", threads=1)
    latencies = measure_latencies(
        {name: partial(engine.run, images[:1]) for name, engine in engines.items()}
    )
    print(f"{'INT8':<28} {'ms':>6} {'top-1':>7} {'agrees':>7} {'error':>7}   {len(labels)} photos")
    for name, engine in engines.items():
        logits = run_all(engine, images)["logits"]
        error = np.sqrt(((logits - reference) ** 2).mean() / (reference**2).mean())
        answers = logits.argmax(axis=1)
        accuracy = (answers == labels).mean()
        agreement = (answers == reference.argmax(axis=1)).mean()
        print(f"{name:<28} {latencies[name].median_ms:6.3f} {accuracy:7.4f} "
              f"{agreement:7.4f} {error:7.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
