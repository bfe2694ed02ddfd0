"""Boxes on images without files, and what was found there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import Boxes
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks.detection.evaluation import BoxEvaluation, evaluate
from pplcnet.tasks.detection.suppression import FoundBoxes

CLASSES = ("cat", "dog")
SIZE = (640, 480)


def manifest(**decoding: Any) -> Manifest:
    preprocessing = Preprocessing((320, 320), resize="stretch")
    return Manifest(CLASSES, preprocessing, {}, task="detection", decoding=decoding)


def true(*rows: tuple[Any, ...], crowd: tuple[int, ...] = ()) -> Boxes:
    """Rows of class, left, top, right, bottom; those of `crowd`, by place, are crowds."""
    is_crowd = [at in crowd for at in range(len(rows))]
    return Boxes.make([row[1:] for row in rows], [row[0] for row in rows], is_crowd, SIZE)


def found(*rows: tuple[Any, ...]) -> FoundBoxes:
    """Rows of class, confidence, left, top, right, bottom."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return FoundBoxes(
        table[:, 2:].astype(np.float32),
        table[:, 0].astype(np.intp),
        table[:, 1].astype(np.float32),
    )


def noisy(images: int, seed: int = 0) -> tuple[list[Boxes], list[FoundBoxes]]:
    """True boxes, and boxes near them with others in between."""
    generator = np.random.default_rng(seed)
    truth, answers = [], []
    for _ in range(images):
        number = int(generator.integers(0, 6))
        corners = generator.uniform(0, 300, (number, 2))
        xyxy = np.concatenate([corners, corners + generator.uniform(10, 150, (number, 2))], axis=1)
        boxes = Boxes.make(
            xyxy, generator.integers(0, 2, number), generator.random(number) < 0.1, SIZE
        )
        extra = generator.uniform(0, 200, (4, 4))
        extra[:, 2:] += extra[:, :2]
        near = np.concatenate([xyxy + generator.normal(0, 5, xyxy.shape), extra])
        labels = np.concatenate([boxes.classes, generator.integers(0, 2, 4)])
        confidence = np.concatenate([0.3 + 0.7 * generator.random(number), generator.random(4)])
        truth.append(boxes)
        answers.append(FoundBoxes(near.astype(np.float32), labels, confidence.astype(np.float32)))
    return truth, answers


def images_of(truth: list[Boxes]) -> list[LabelledImage]:
    return [LabelledImage(Path(f"{at}.jpg"), boxes) for at, boxes in enumerate(truth)]


def evaluation_of(truth: list[Boxes], answers: list[FoundBoxes], **decoding: Any) -> BoxEvaluation:
    dataset = Dataset(Path(), CLASSES, tuple(images_of(truth)), task="detection")
    predictions = [SimpleNamespace(**each._asdict()) for each in answers]
    return evaluate(manifest(**decoding), dataset, zip(dataset.images, predictions, strict=True))
