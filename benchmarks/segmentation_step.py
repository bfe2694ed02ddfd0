"""Measure the cost of augmenting photos and masks beside a training step, and whether it waits.

    python benchmarks/segmentation_step.py PHOTOS --model mobileseg_pplcnet_x0_5
    python benchmarks/segmentation_step.py PHOTOS --crop 1 --pixel-step 1

PHOTOS is a data set with masks. Prints CPU time per image: for the first epoch of views, which
reads photos and masks; for a later one, which finds both in the cache; for the steps; and the
fraction of the steps' wall time spent waiting for the next batch.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice

import numpy as np
from machine import describe_machine

from pplcnet.data.dataset import Dataset
from pplcnet.recipe.starts import recipe_by_start
from pplcnet.tasks import options_of
from pplcnet.training.setup import build_trainable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--model", default="mobileseg_pplcnet_x0_5")
    parser.add_argument("--image-size", type=int, default=512)
    parser.add_argument("--crop", type=float, default=0.5)
    parser.add_argument("--pixel-step", type=int, default=4)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    dataset = Dataset.open(arguments.photos)
    train_set = dataset.subset("train") if dataset.subset("train").images else dataset
    size = (arguments.image_size, arguments.image_size)
    recipe = recipe_by_start(
        {
            "model": arguments.model,
            "image_size": size,
            "weights": None,
            "crop": arguments.crop,
            "pixel_step": arguments.pixel_step,
        },
        options_of(dataset.task),
    )
    print(describe_machine("keras", "tensorflow-cpu"))
    trainable = build_trainable(train_set, recipe, report=print)
    batches, model = trainable.batches, trainable.model
    images = batches.batch_size * batches.steps_per_epoch
    for epoch, name in ((0, "views, files read"), (1, "views, later epochs")):
        started = time.process_time()
        for _ in batches.epoch(epoch):
            pass
        print(f"{name:<22} {(time.process_time() - started) / images * 1000:8.1f} ms CPU per image")
    batch = next(iter(batches.epoch(2)))
    for _ in range(2):
        model.train_on_batch(batch.images, batch.targets)
    started = time.process_time()
    for _ in range(arguments.steps):
        model.train_on_batch(batch.images, batch.targets)
    spent = (time.process_time() - started) / arguments.steps / batches.batch_size
    print(f"{'step':<22} {spent * 1000:8.1f} ms CPU per image")
    waits: list[float] = []
    started, epoch = time.perf_counter(), 3
    while len(waits) < arguments.steps:
        asked = time.perf_counter()
        for given in islice(batches.epoch(epoch), arguments.steps - len(waits)):
            waits.append(time.perf_counter() - asked)
            float(np.asarray(model.train_on_batch(given.images, given.targets)).ravel()[0])
            asked = time.perf_counter()
        epoch += 1
    # An epoch's first batch always waits: nothing was requested ahead of it.
    per_epoch = min(batches.steps_per_epoch, arguments.steps)
    later = sum(wait for at, wait in enumerate(waits) if at % per_epoch)
    total = time.perf_counter() - started
    print(f"waited for batches: {sum(waits) / total:.1%} of {total:.1f} s, "
          f"{later / total:.1%} without the first of each epoch")  # fmt: skip


if __name__ == "__main__":
    main()
