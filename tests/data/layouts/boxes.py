"""Photos with boxes, for the tests of the layouts that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from PIL import Image

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError

SIZE = (64, 48)


def write_photo(path: Path, size: tuple[int, int] = SIZE, orientation: int = 1) -> Path:
    """A plain photo, stored with `size`, whose EXIF says how to turn it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Another colour for every name, so that no photo is a copy of another.
    colour = tuple(crc32(path.name.encode()).to_bytes(4))[:3]
    Image.new("RGB", size, colour).save(path, exif=exif)
    return path


def write_coco(path: Path, names: list[str], annotations: list[Any], **others: Any) -> Path:
    """COCO's JSON for photos with the ids 1, 2, ... that lie beside it."""
    images = [
        {"id": at, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
        for at, name in enumerate(names, 1)
    ]
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    content = {"images": images, "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(content | others))
    return path


def annotation(image: Any, category: Any, *box: Any, **others: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": [*box], **others}


def refusal(path: Path) -> str:
    """What is said of a data set that cannot be read."""
    with pytest.raises(DatasetError) as caught:
        Dataset.open(path)
    return str(caught.value)


def said(dataset: Dataset) -> dict[str, list[tuple[Any, ...]]]:
    """Name of each photo to its boxes: class, left, top, right, bottom."""
    return {
        image.path.name: [
            (dataset.classes[at], *box)
            for at, box in zip(
                image.annotation.classes.tolist(), image.annotation.xyxy.tolist(), strict=True
            )
        ]
        for image in dataset.images
    }
