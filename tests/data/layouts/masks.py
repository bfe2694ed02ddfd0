"""Photos with masks in files, for the tests of the layouts that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from pplcnet.tasks.segmentation.audit import faults
from tests.data.layouts.boxes import SIZE, write_photo

CLASSES = ("land", "road", "sea")
COLOURS = ((0x3C, 0x10, 0x98), (0, 0, 0), (0xFF, 0, 0))
VALUES = np.zeros(SIZE[::-1], np.uint8)
VALUES[:, 20:40] = 1
VALUES[:, 40:] = 2
VALUES[:2] = 255


def write_pair(folder: Path, name: str, mask: Any = VALUES, ending: str = ".png") -> None:
    """FOLDER/images/NAME.jpg and FOLDER/masks/NAME.png, which may be below train/ and so on."""
    write_photo(folder / "images" / f"{name}.jpg")
    write_mask(folder / "masks" / f"{name}{ending}", mask)


def write_mask(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(path)
    return path


def coloured(values: NDArray[np.uint8] = VALUES) -> NDArray[np.uint8]:
    """The mask in COLOURS; what is ignored is white."""
    table = np.full((256, 3), 255, np.uint8)
    table[:3] = COLOURS
    return np.asarray(table[values])


def with_palette(values: NDArray[np.uint8] = VALUES, colours: Any = COLOURS) -> Image.Image:
    image = Image.fromarray(values).convert("P")
    image.putpalette([each for colour in colours for each in colour])
    return image


def write_classes(folder: Path, content: Any = CLASSES) -> None:
    (folder / "classes.json").write_text(json.dumps(content))


def colour_names() -> dict[str, Any]:
    colors = {
        name: "#" + bytes(colour).hex() for name, colour in zip(CLASSES, COLOURS, strict=True)
    }
    return {"classes": list(CLASSES), "colors": colors, "ignore": "#ffffff"}


def refusal(path: Path) -> str:
    """What is said of a data set that cannot be read, or of its faults."""
    try:
        found = [fault.text for fault in faults(Dataset.open(path))]
    except DatasetError as error:
        return str(error)
    assert found
    return str(DatasetError("faults", found))


def areas(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Name of each photo to the pixels of each class in its mask, which is read."""
    found = {}
    for image in dataset.images:
        classes = image.annotation.read()
        counts = np.bincount(classes.ravel(), minlength=256)
        assert tuple(counts[: len(dataset.classes)].tolist()) == image.annotation.areas
        assert counts[255] == image.annotation.ignored
        assert counts.sum() == image.annotation.size[0] * image.annotation.size[1]
        found[dataset.name_of(image)] = {
            name: int(pixels)
            for name, pixels in zip(dataset.classes, counts.tolist(), strict=False)
            if pixels
        }
    return found
