"""Measure the CPU cost of a training image, part by part, and how much of it is serial.

    python benchmarks/loading_parts.py [--quick]

Images are already decoded, as in every epoch after the first. Prints CPU microseconds per image,
which other programs hardly affect:

- each part of a view alone, and mixing a batch, at 224 pixels;
- the loader as a whole, with one thread, for each recipe;
- how much of that is spent in calls that release Python's interpreter lock. The rest, at most,
  holds it and cannot run in parallel threads, however many cores there are. Also the most images/s
  that the threads of one process can load.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from machine import describe_machine
from PIL import Image
from smooth_photos import write_photos

from pplcnet.data.dataset import Dataset
from pplcnet.imaging import augmentation
from pplcnet.imaging.acceleration import optional_module
from pplcnet.imaging.augmentation import augment_image, erase_rectangle, random_resized_crop
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.mixing import mix
from pplcnet.training.pictures import preprocessing_of

SIDE, BATCH, CLASSES = 224, 64, 4
KEPT = (336, 448, 3)
"""A 4:3 photo as cached for crops to SIDE."""

LOADERS: dict[str, dict[str, Any]] = {
    "crop and flip (the defaults)": {},
    "and erasing": {"random_erasing": 0.25},
    "and RandAugment": {"augment": "randaugment"},
    "and mixup": {"mixup": 0.2},
    "and CutMix": {"cutmix": 1.0},
}


def microseconds(call: Callable[[], object], rounds: int) -> float:
    """CPU microseconds of this thread for one call."""
    call()
    started = time.thread_time()
    for _ in range(rounds):
        call()
    return 1e6 * (time.thread_time() - started) / rounds


def parts(rounds: int) -> dict[str, float]:
    """Microseconds per image for each part."""
    generator = np.random.default_rng(0)
    kept = generator.integers(0, 256, KEPT, np.uint8)
    view = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    batch = generator.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8)
    targets = np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]
    recipe = Recipe()
    policy = {"operations": recipe.augment_operations, "magnitude": recipe.augment_magnitude}
    calls: dict[str, Callable[[], object]] = {
        "a generator for its draws": lambda: np.random.default_rng((0, 1, 2)),
        "crop and resize": lambda: random_resized_crop(
            kept,
            (SIDE, SIDE),
            scale=recipe.crop_scale,
            ratio=recipe.crop_ratio,
            horizontal_flip=False,
            generator=generator,
        ),
        "mirror": lambda: augmentation._mirrored(view),
        "erase": lambda: erase_rectangle(view, generator),
        "RandAugment": lambda: augment_image(view, "randaugment", generator, **policy),
        "copy into the batch": partial(batch.__setitem__, 0, view),
    }
    found = {name: microseconds(call, rounds) for name, call in calls.items()}
    for way in ("mixup", "cutmix"):
        mixed = partial(mix, batch, targets, generator, **{way: 1.0})
        found[way] = microseconds(mixed, max(1, rounds // BATCH)) / BATCH
    return found


@contextmanager
def released_time() -> Iterator[list[float]]:
    """Within the context, times of calls that release the interpreter lock go into a list."""
    seconds: list[float] = []

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*arguments: Any, **named: Any) -> Any:
            started = time.thread_time()
            result = call(*arguments, **named)
            seconds.append(time.thread_time() - started)
            return result

        return timing

    resizer = optional_module("cykooz_resizer")
    owner = resizer.Resizer if resizer is not None else Image.Image
    with (
        patch.object(owner, "resize", timed(owner.resize)),
        patch.object(augmentation, "_mirrored", timed(augmentation._mirrored)),
    ):
        yield seconds


def loading(photos: Path, settings: dict[str, Any], epochs: int) -> tuple[float, float]:
    """CPU microseconds per image with one thread, and the part that releases the lock."""
    values = {"image_size": SIDE, "batch_size": BATCH, "workers": 1, **settings}
    dataset = Dataset.open(photos)
    recipe = adapted(Recipe().changed(values), len(dataset))
    batches = TrainingBatches(dataset, recipe, preprocessing_of(recipe))
    for _ in batches.epoch(0):
        pass
    with released_time() as seconds:
        started, images = time.process_time(), 0
        for epoch in range(1, epochs + 1):
            images += sum(len(each.targets) for each in batches.epoch(epoch))
        spent = time.process_time() - started
    return 1e6 * spent / images, 1e6 * sum(seconds) / images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny: only to see that it runs")
    quick = parser.parse_args().quick
    print(describe_machine("numpy", "Pillow", "cykooz.resizer"))
    print("processor microseconds an image")
    for name, cost in parts(10 if quick else 2000).items():
        print(f"{name:<32} {cost:7.0f}")
    print("whole loader, one thread           all  at most with the lock held  most images/s")
    with TemporaryDirectory() as scratch:
        photos = write_photos(Path(scratch), 64 if quick else 512, CLASSES)
        for name, settings in LOADERS.items():
            whole, released = loading(photos, settings, 1 if quick else 6)
            held = whole - released
            print(f"{name:<32} {whole:7.0f} {held:27.0f} {1e6 / held:14,.0f}")


if __name__ == "__main__":
    main()
