"""Measure the CPU time that assigning boxes to cells takes in a detector's training step.

    python benchmarks/detection_step.py --boxes 32 --batch-size 8

Times steps of PicoDet on random pixels and boxes with either assignment, and the assignment and the
losses alone on the same predictions, interleaved; prints medians. CPU time counts all cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def main() -> None:
    """Print milliseconds of CPU time per step, and the assignment's share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="picodet_xs")
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--boxes", type=int, default=32, help="of an image, padding included")
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    from pplcnet.tasks.detection.assignment import Truth, assign_by_place, assign_by_task, cells_of
    from pplcnet.tasks.detection.head import build_picodet
    from pplcnet.tasks.detection.losses import DetectionLoss
    from pplcnet.tasks.detection.training import PACKED, trained_model

    side, batch = arguments.side, arguments.batch_size
    network = build_picodet(arguments.model, classes=arguments.classes, image_size=side)
    model = trained_model(network)
    model.compile(keras.optimizers.SGD(0.0), loss=DetectionLoss(arguments.classes))
    generator = np.random.default_rng(0)
    images = tf.constant(generator.standard_normal((batch, side, side, 3)), tf.float32)
    targets = tf.constant(_boxes(generator, arguments), tf.float32)
    boxes, scores = network(images)
    truth = Truth(targets[..., :4], tf.cast(targets[..., 4], tf.int32), targets[..., 4] >= 0)

    @tf.function
    def step() -> Any:
        return model.train_step((images, targets))

    @tf.function
    def by_place() -> Any:
        return assign_by_place(cells_of(side, side), truth, boxes)

    @tf.function
    def by_task() -> Any:
        return assign_by_task(cells_of(side, side), truth, boxes, scores)

    for name, is_aligned, assign in (("ATSS", 0.0, by_place), ("TAL", 1.0, by_task)):
        model.get_layer(PACKED).is_aligned.assign(is_aligned)
        whole, alone = _medians([step, assign], arguments.rounds)
        print(f"{name}: step {whole:.1f} ms, assignment {alone:.1f} ms, {alone / whole:.1%}")


def _boxes(generator: np.random.Generator, arguments: argparse.Namespace) -> np.ndarray:
    """(N, M, 5) random boxes; half of the rows are padding."""
    count = (arguments.batch_size, arguments.boxes)
    sizes = generator.uniform(10, arguments.side / 2, (*count, 2))
    corners = generator.random((*count, 2)) * (arguments.side - sizes)
    classes = generator.integers(0, arguments.classes, count)
    classes[:, arguments.boxes // 2 :] = -1
    return np.concatenate([corners, corners + sizes, classes[..., None]], axis=-1)


def _medians(calls: list[Callable[[], object]], rounds: int) -> list[float]:
    """Milliseconds of CPU time per call, with interleaved calls; the first round is not counted."""
    times: list[list[float]] = [[] for _ in calls]
    for at in range(rounds + 1):
        for call, found in zip(calls, times, strict=True):
            began = time.process_time()
            call()
            if at:
                found.append(1e3 * (time.process_time() - began))
    return [statistics.median(each) for each in times]


if __name__ == "__main__":
    main()
