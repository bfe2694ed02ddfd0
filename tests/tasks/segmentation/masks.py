"""Masks in files, and manifests of segmenters, for the tests of segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.masks import IGNORED, Coding, Mask
from pplcnet.imaging.masks import decode_mask
from pplcnet.imaging.preprocessing import Preprocessing

CLASSES = ("land", "road", "sea")


class Answer(NamedTuple):
    """What an evaluation asks of a prediction."""

    class_map: NDArray[np.uint8]


def write_mask(path: Path, classes: NDArray[np.uint8]) -> Mask:
    """An index PNG at `path`, as an annotation; the photo has its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(classes).save(path)
    counts = np.bincount(classes.ravel(), minlength=IGNORED + 1).tolist()
    table = (*((at, at) for at in range(len(CLASSES))), (IGNORED, IGNORED))
    return Mask(
        path,
        (classes.shape[1], classes.shape[0]),
        Coding(table),
        tuple(counts[: len(CLASSES)]),
        counts[IGNORED],
        1,
        decode_mask(path).digest,
    )


def dataset_of(folder: Path, masks: list[NDArray[np.uint8]], split: str | None = None) -> Dataset:
    """Photos 0.png, 1.png, ... in FOLDER/images, whose colours tell the classes, and masks."""
    colours = np.array([[120, 90, 40], [130, 130, 130], [20, 60, 160]], np.int64)
    images = []
    for at, classes in enumerate(masks):
        noise = np.random.default_rng(at).integers(-20, 20, (*classes.shape, 3))
        pixels = (colours[np.minimum(classes, 2)] + noise).clip(0, 255).astype(np.uint8)
        path = folder / "images" / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        mask = write_mask(folder / "masks" / f"{at}.png", classes)
        images.append(LabelledImage(path, mask, split))
    return Dataset(folder, CLASSES, tuple(images), task="segmentation")


def blobs(seed: int, size: tuple[int, int] = (32, 48), cells: int = 4) -> NDArray[np.uint8]:
    """A mask (height, width) of squares of the three classes, and a few ignored pixels."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, len(CLASSES), (cells, cells)).astype(np.uint8)
    rows, columns = (np.arange(length) * cells // length for length in size)
    classes: NDArray[np.uint8] = coarse[rows][:, columns]
    classes[0, :3] = IGNORED
    return classes


def manifest(image_size: tuple[int, int] = (32, 48), resize: str = "stretch") -> Manifest:
    return Manifest(
        task="segmentation",
        classes=CLASSES,
        preprocessing=Preprocessing(image_size, resize=resize),  # type: ignore[arg-type]
        network={"name": "mobileseg_pplcnet_x0_5", "options": {}},
    )
