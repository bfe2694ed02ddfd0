"""Photos with their masks and answers, for a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.data.masks import IGNORED, Mask
from pplcnet.errors import ImageError
from pplcnet.pages.pictures import palette_uri, part_of_photo
from pplcnet.tasks.segmentation.colours import colour_of
from pplcnet.tasks.segmentation.evaluation import Answered, MaskEvaluation

__all__ = ["WRONG", "chosen_photos", "hex_colour", "photo_values"]

SIDE = 440
WORST, MEDIAN, BEST = 8, 3, 3
"""The number of photos of each kind."""
WRONG = (255, 45, 85)
"""Marks where mask and answer differ: none of the first hundred classes has a similar colour."""


def hex_colour(colour: tuple[int, int, int]) -> str:
    """The colour in CSS notation."""
    return "#" + bytes(colour).hex()


def chosen_photos(evaluation: MaskEvaluation) -> list[tuple[str, list[int]]]:
    """Indices of the photos to show, by kind: the worst, those in the middle, and the best."""
    order = evaluation.worst_first
    if len(order) <= WORST + MEDIAN + BEST:
        return [("", order)]
    middle = (len(order) - MEDIAN) // 2
    first = max(WORST, min(middle, len(order) - BEST - MEDIAN))
    return [
        ("Worst", order[:WORST]),
        ("Median", order[first : first + MEDIAN]),
        ("Best", order[-BEST:][::-1]),
    ]


def photo_values(
    dataset: Dataset,
    evaluation: MaskEvaluation,
    predictions: Sequence[Answered],
    places: Sequence[int],
) -> list[dict[str, Any]]:
    """Values for the template, one per photo; those that can no longer be read are left out."""
    colours = [colour_of(at) for at in range(len(evaluation.classes))]
    values = []
    for at in places:
        image = dataset.images[at]
        picture = part_of_photo(image.path, side=SIDE)
        try:
            truth = _shrunk(cast(Mask, image.annotation).read())
        except ImageError:
            continue
        if picture is None:
            continue
        answer = _shrunk(predictions[at].class_map)
        differs = (truth != answer) & (truth != IGNORED)
        wrong = np.where(differs, 0, IGNORED).astype(np.uint8)
        width, height = cast(Mask, image.annotation).size
        values.append(
            {
                "name": dataset.name_of(image),
                "picture": picture,
                "ratio": f"{width} / {height}",
                "figures": evaluation.per_image[at],
                "layers": [
                    {"text": "photo", "picture": ""},
                    {"text": "mask", "picture": palette_uri(truth, colours)},
                    {"text": "answer", "picture": palette_uri(answer, colours)},
                    {"text": "where they differ", "picture": palette_uri(wrong, [WRONG])},
                ],
            }
        )
    return values


def _shrunk(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The classes shrunk to at most SIDE pixels along either side, by nearest neighbour."""
    height, width = classes.shape
    scale = min(1.0, SIDE / max(height, width))
    rows, columns = (
        (
            (np.arange(max(1, round(length * scale))) + 0.5)
            / max(1, round(length * scale))
            * length
        ).astype(np.intp)
        for length in (height, width)
    )
    return np.asarray(classes[rows][:, columns])
