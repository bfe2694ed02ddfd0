"""Drawn circles, squares and triangles, for the demos of detection and segmentation.

The boxes are written in COCO's format, the masks as PNG files of class indices. The same seed draws
the same pictures.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["MASK_CLASSES", "SHAPES", "write_shape_masks", "write_shapes"]

SHAPES = ("circle", "square", "triangle")
MASK_CLASSES = ("background", *SHAPES)
SIDE = 240
MOST_SHAPES = 6
DIAMETERS = 26, 110
"""The smallest and the largest diameter, in pixels."""
MASK_DIAMETERS = 60, 140
DRAWN_LARGER = 3
"""Shapes are drawn this many times larger and then reduced, which smooths their edges."""
MOST_COVERED = 0.1
CORNERS = {"square": 4, "triangle": 3}
QUALITY = 90

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


def write_shapes(folder: Path, count: int, seed: int = 0) -> int:
    """Write FOLDER/images/*.jpg and FOLDER/train.json with the boxes; return how many shapes."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    listed: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number in range(count):
        pixels, found, _ = _draw(np.random.default_rng((seed, number)))
        name = f"{number:04d}.jpg"
        pixels.save(images / name, quality=QUALITY)
        listed.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        for kind, (left, top, right, bottom) in found:
            width, height = right - left, bottom - top
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": number,
                    "category_id": SHAPES.index(kind) + 1,
                    "bbox": [round(each, 2) for each in (left, top, width, height)],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": at, "name": name} for at, name in enumerate(SHAPES, start=1)]
    content = {"images": listed, "annotations": boxes, "categories": categories}
    (folder / "train.json").write_text(json.dumps(content), encoding="utf-8")
    return len(boxes)


def write_shape_masks(folder: Path, count: int, seed: int = 0) -> None:
    """Write FOLDER/images/*.jpg, FOLDER/masks/*.png and FOLDER/classes.json."""
    for each in ("images", "masks"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels, _, classes = _draw(np.random.default_rng((seed, number)), MASK_DIAMETERS)
        pixels.save(folder / "images" / f"{number:04d}.jpg", quality=QUALITY)
        Image.fromarray(classes).save(folder / "masks" / f"{number:04d}.png")
    content = json.dumps({"classes": list(MASK_CLASSES)})
    (folder / "classes.json").write_text(content, encoding="utf-8")


def _draw(
    generator: np.random.Generator, diameters: tuple[int, int] = DIAMETERS
) -> tuple[Image.Image, list[tuple[str, Box]], NDArray[np.uint8]]:
    """A picture, the shapes on it with their boxes, and the class of each pixel (SIDE, SIDE)."""
    image = _background(generator)
    classes = np.zeros((SIDE, SIDE), np.uint8)
    found: list[tuple[str, Box]] = []
    for _ in range(int(generator.integers(1, MOST_SHAPES + 1))):
        kind = str(generator.choice(SHAPES))
        outline = _outline(kind, generator, diameters)
        left, top = outline.min(axis=0)
        right, bottom = outline.max(axis=0)
        box = float(left), float(top), float(right), float(bottom)
        if any(_covered(box, other) > MOST_COVERED for _, other in found):
            continue
        large = SIDE * DRAWN_LARGER
        mask = Image.new("L", (large, large))
        ImageDraw.Draw(mask).polygon([tuple(each) for each in outline * DRAWN_LARGER], fill=255)
        colour = tuple(int(each) for each in generator.integers(0, 256, 3))
        smooth = mask.resize((SIDE, SIDE), Image.Resampling.BOX)
        image.paste(colour, mask=smooth)
        classes[np.asarray(smooth) >= 128] = MASK_CLASSES.index(kind)
        found.append((kind, box))
    noise = generator.normal(0, 8, (SIDE, SIDE, 3))
    pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels), found, classes


def _background(generator: np.random.Generator) -> Image.Image:
    """Soft clouds of colour."""
    coarse = generator.integers(40, 216, (6, 6, 3), np.uint8)
    clouds = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return clouds.filter(ImageFilter.GaussianBlur(6))


def _outline(
    kind: str, generator: np.random.Generator, diameters: tuple[int, int]
) -> NDArray[np.float64]:
    """(corners, 2): x and y in pixels, inside the picture, randomly rotated."""
    smallest, largest = diameters
    radius = math.exp(generator.uniform(math.log(smallest), math.log(largest))) / 2
    corners = CORNERS.get(kind, 64)
    angles = generator.uniform(0, 2 * math.pi) + np.arange(corners) * (2 * math.pi / corners)
    outline = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    low, high = outline.min(axis=0), outline.max(axis=0)
    placed: NDArray[np.float64] = outline - low + generator.uniform(0, SIDE - (high - low))
    return placed


def _covered(one: Box, other: Box) -> float:
    """The fraction of the smaller box that the other one covers."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (one, other)]
    return max(wide, 0.0) * max(tall, 0.0) / min(areas)
