"""Measure training in images/s: bare steps on one batch in memory, and a run from JPEG files.

    python benchmarks/training_throughput.py [--photos FOLDER] [--model pplcnet_x1_0]
    python benchmarks/training_throughput.py --profile

There are rows for the bare step (with Keras' own BatchNorm and hard-swish, and with ours), for ours
fed by the real loader from files, from the disk cache and from the memory cache, and for the loader
alone, which is what a GPU would have to wait for. All are interleaved in rounds, so the ratios hold
on a machine whose speed varies. Without --photos, it writes and reads 500x375 JPEGs of smooth
noise, as many as three epochs need.

--profile instead prints the time of our step by kind of operator (TensorFlow).
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from machine import describe_machine
from smooth_photos import write_photos

from pplcnet.data.dataset import Dataset
from pplcnet.models import layers
from pplcnet.models.build import build_model
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.task_training import Objective
from pplcnet.training.batches import Batch, TrainingBatches
from pplcnet.training.devices import Devices, Step, normalize_in_step
from pplcnet.training.optimizers import compile_model
from pplcnet.training.pictures import preprocessing_of

ROUNDS, STEPS = 4, 12


def compiled(recipe: Recipe, classes: int, *, keras_layers: bool) -> Step:
    """The step of a new model; with `keras_layers`, BatchNorm and hard-swish are Keras' own."""
    was, size = layers.runs_on_tensorflow, recipe.batch_size or 1
    if keras_layers:
        layers.runs_on_tensorflow = lambda: False
    try:
        model = build_model(recipe.model, num_classes=classes, image_size=recipe.image_size)
        objective = Objective(keras.losses.CategoricalCrossentropy(from_logits=True), [])
        compile_model(model, recipe, 100, objective)
        normalize_in_step(model, preprocessing_of(recipe))
        step = Devices(recipe).step_of(model)
        step(
            np.zeros((size, *recipe.image_size, 3), np.uint8),
            np.eye(classes, dtype=np.float32)[np.zeros(size, int)],
        )  # traces while the switch above holds
    finally:
        layers.runs_on_tensorflow = was
    return step


def loader(dataset: Dataset, recipe: Recipe, memory: float, disk: float) -> TrainingBatches:
    """Batches, with this many gigabytes for decoded images, filled by one epoch."""
    cached = recipe.changed({"cache_gigabytes": memory, "disk_cache_gigabytes": disk})
    batches = TrainingBatches(dataset, cached, preprocessing_of(cached))
    if memory or disk:
        for _ in batches.epoch(0):
            pass
    return batches


def rate(step: Step | None, source: Iterable[Batch]) -> tuple[float, float]:
    """Images/s and CPU milliseconds per image, for STEPS steps or for loading alone."""
    started, processor, images = 0.0, 0.0, 0
    for number, batch in enumerate(source):
        if step is not None:
            float(step(batch.images, batch.targets)["loss"])
        if number == 0:  # threads start and the first batch is made: not the steady state
            started, processor = time.perf_counter(), time.process_time()
            continue
        images += len(batch.targets)
        if number == STEPS:
            break
    took = time.perf_counter() - started
    return images / took, 1e3 * (time.process_time() - processor) / images


def operators(step: Step, batch: Batch, steps: int = 3) -> dict[str, float]:
    """Milliseconds of a step in each kind of operator, from TensorFlow's profiler.

    Operators that run in parallel count in full, so the sum exceeds the step.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    spent: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(steps):
            float(step(batch.images, batch.targets)["loss"])
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                # "node:Kind" is an operator, "..._fusion" several fused by XLA; the rest are
                # the runtime's own spans, around them.
                found = re.fullmatch(r"[^:]+:(\w+)", name)
                kind = "fused by XLA" if name.endswith("_fusion") else found and found[1]
                if kind:
                    spent[kind] += event.duration_ps / steps / 1e9
    return dict(sorted(spent.items(), key=lambda each: -each[1]))


def print_profile(step: Step, batch: Batch) -> None:
    """Print the step's time, and that of operators with at least a hundredth of it."""
    images, _ = rate(step, [batch] * (STEPS + 1))
    whole = 1e3 * len(batch.targets) / images
    print(f"{images:.1f} images/s, {whole:.0f} ms a step; in operators:")
    for kind, milliseconds in operators(step, batch).items():
        if milliseconds >= whole / 100:
            print(f"{kind:<48} {milliseconds:7.1f} ms {milliseconds / whole:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", default="pplcnet_x1_0")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as scratch:
        photos = arguments.photos or write_photos(
            Path(scratch), arguments.batch_size * STEPS * ROUNDS
        )
        dataset = Dataset.open(photos)
        recipe = adapted(
            Recipe().changed(
                {name: getattr(arguments, name) for name in ("model", "image_size", "batch_size")}
            ),
            len(dataset),
        )
        batches = TrainingBatches(dataset, recipe, preprocessing_of(recipe))
        classes = len(dataset.classes)
        if arguments.profile:
            ours = compiled(recipe, classes, keras_layers=False)
            print_profile(ours, next(iter(batches.epoch(0))))
            return
        plain = compiled(recipe, classes, keras_layers=True)
        ours = compiled(recipe, classes, keras_layers=False)
        memory = [next(iter(batches.epoch(0)))] * (STEPS + 1)
        loaders = {
            "files": loader(dataset, recipe, 0.0, 0.0),
            "disk": loader(dataset, recipe, 0.0, 16.0),
            "memory": loader(dataset, recipe, 16.0, 0.0),
        }
        rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for turn in range(ROUNDS):
            rows["Keras' layers, batch in memory"].append(rate(plain, memory))
            rows["ours, batch in memory"].append(rate(ours, memory))
            for place, each in loaders.items():
                rows[f"ours, real loading from {place}"].append(rate(ours, each.epoch(turn)))
            for place, each in loaders.items():
                rows[f"loading alone from {place}"].append(rate(None, each.epoch(turn)))
    print(
        f"{recipe.model}, {recipe.image_size}, batch {recipe.batch_size}: images/s, median (max); "
        "processor ms an image, median (min)"
    )
    for row, measured in rows.items():
        rates, costs = zip(*measured, strict=True)
        print(
            f"{row:<40} {statistics.median(rates):7.1f} ({max(rates):.1f}) "
            f"{statistics.median(costs):8.2f} ({min(costs):.2f})"
        )


if __name__ == "__main__":
    main()
