"""Images/s of training: bare steps on one batch in memory, and a real run from JPEG files.

    python benchmarks/training_throughput.py [--photos FOLDER] [--model pplcnet_x1_0]

Three rows for the bare step (Keras' own BatchNorm and hard-swish; ours; ours fed by the real
loader), interleaved in rounds, so that the ratios hold on a machine whose speed wanders. Without
--photos, as many noise pictures of 500x375 as three epochs need are written and read as JPEG.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from machine import describe_machine
from PIL import Image

from pplcnet.dataset import Dataset
from pplcnet.models import layers
from pplcnet.models.creation import create_model
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.loop import preprocessing_of
from pplcnet.training.optimizing import compile_model
from pplcnet.training.recipe import Recipe

ROUNDS, STEPS = 4, 12


def write_photos(folder: Path, count: int) -> Path:
    """Smooth noise, which compresses as photos do."""
    generator = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 256, (24, 32, 3), np.uint8))
        target = folder / f"class_{number % 2}"
        target.mkdir(parents=True, exist_ok=True)
        small.resize((500, 375), Image.Resampling.BICUBIC).save(target / f"{number}.jpg")
    return folder


def compiled(recipe: Recipe, classes: int, *, keras_layers: bool) -> keras.Model:
    """A model ready for steps; with `keras_layers`, BatchNorm and hard-swish are Keras' own."""
    was = layers._is_tensorflow
    if keras_layers:
        layers._is_tensorflow = lambda: False
    try:
        model = create_model(recipe.model, num_classes=classes, image_size=recipe.image_size)
        compile_model(model, recipe, steps_per_epoch=100)
        model.train_on_batch(
            np.zeros((recipe.batch_size, *recipe.image_size, 3), np.float32),
            np.eye(classes, dtype=np.float32)[np.zeros(recipe.batch_size, int)],
        )  # traces while the switch above holds
    finally:
        layers._is_tensorflow = was
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", default="pplcnet_x1_0")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as scratch:
        photos = arguments.photos or write_photos(
            Path(scratch), arguments.batch_size * STEPS * ROUNDS
        )
        dataset = Dataset.open(photos)
        recipe = Recipe().changed(
            {name: getattr(arguments, name) for name in ("model", "image_size", "batch_size")}
        )
        batches = TrainingBatches(dataset, recipe, preprocessing_of(recipe))
        classes = len(dataset.classes)
        plain = compiled(recipe, classes, keras_layers=True)
        ours = compiled(recipe, classes, keras_layers=False)
        identity = np.eye(classes, dtype=np.float32)
        first = next(iter(batches.epoch(0)))
        memory = [(first.images, first.labels)] * STEPS

        rows: dict[str, list[float]] = {
            "Keras' layers, batch in memory": [],
            "ours, batch in memory": [],
            "ours, real loading from files": [],
            "ours, real loading, decoded in memory": [],
        }

        def timed(row: str, model: keras.Model, source) -> None:
            started, images = None, 0
            for step, (pixels, labels) in enumerate(source):
                if step == 0:  # threads start and the first batch is made: not the steady state
                    model.train_on_batch(pixels, identity[labels])
                    started = time.perf_counter()
                    continue
                model.train_on_batch(pixels, identity[labels])
                images += len(labels)
                if step == STEPS:
                    break
            rows[row].append(images / (time.perf_counter() - started))

        warm = TrainingBatches(dataset, recipe, preprocessing_of(recipe))
        for member in range(len(dataset)):
            warm._picture(member)
        cold = recipe.changed({"cache_gigabytes": 0.0})
        for turn in range(ROUNDS):
            timed("Keras' layers, batch in memory", plain, memory)
            timed("ours, batch in memory", ours, memory)
            fresh = TrainingBatches(dataset, cold, preprocessing_of(recipe))
            timed("ours, real loading from files", ours, fresh.epoch(turn))
            timed("ours, real loading, decoded in memory", ours, warm.epoch(turn))
    print(f"{recipe.model}, {recipe.image_size}, batch {recipe.batch_size}: images/s, median (max)")
    for row, rates in rows.items():
        print(f"{row:<40} {statistics.median(rates):7.1f} ({max(rates):.1f})")


if __name__ == "__main__":
    main()
