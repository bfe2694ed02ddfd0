"""Photos with their boxes, for a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.pages.pictures import part_of_photo
from pplcnet.tasks.detection.evaluation import BoxEvaluation
from pplcnet.tasks.detection.mistakes import BoxMistake
from pplcnet.tasks.detection.pairing import IOU
from pplcnet.tasks.detection.suppression import overlaps

__all__ = ["PHOTOS", "Drawing", "chosen_photos", "photo_values", "region_values"]

PHOTOS = 36
"""The number of whole photos on a page."""
RIGHT = 6
"""At least this many of them have no mistakes, if there are that many."""
SIDE = 420
REGION_SIDE = 200
LEAST_OVERLAP = 0.05
AROUND = 0.75
"""The margin shown around a box, as a share of its longer side."""


class Drawing(NamedTuple):
    """A box drawn in a picture, in pixels of the photo."""

    kind: str
    """ "true", "found", "missed", "invented", "mistaken" or "crowd"."""
    text: str
    x: float
    y: float
    width: float
    height: float
    is_meant: bool = False
    """Whether this box is the subject of the picture."""


def chosen_photos(evaluation: BoxEvaluation) -> list[int]:
    """Indices of the photos to show: those with the most mistakes, then some without any."""
    mistakes = np.array(
        [
            int((each.is_mistaken | each.is_invented).sum() + each.is_missed.sum())
            for each in evaluation.pairings
        ]
    )
    order = np.argsort(-mistakes, kind="stable")
    wrong = order[mistakes[order] > 0][: PHOTOS - min(RIGHT, int((mistakes == 0).sum()))]
    right = order[mistakes[order] == 0][: PHOTOS - len(wrong)]
    return [*wrong.tolist(), *right.tolist()]


def photo_values(
    dataset: Dataset, evaluation: BoxEvaluation, places: Sequence[int]
) -> list[dict[str, Any]]:
    """Values for the macro `drawn`, one per photo; photos that cannot be read are left out."""
    values = []
    for at in places:
        image = dataset.images[at]
        picture = part_of_photo(image.path, side=SIDE)
        if picture is None:
            continue
        drawings = _drawings(evaluation, at)
        kinds = [each.kind for each in drawings]
        width, height = evaluation.truth[at].size
        values.append(
            {
                "name": dataset.name_of(image),
                "picture": picture,
                "view": f"0 0 {width} {height}",
                "ratio": f"{width} / {height}",
                "drawings": drawings,
                "counts": {
                    kind: kinds.count(kind) for kind in ("found", "missed", "invented", "mistaken")
                },
            }
        )
    return values


def region_values(
    dataset: Dataset, evaluation: BoxEvaluation, mistakes: Sequence[BoxMistake]
) -> list[dict[str, Any]]:
    """Values for the macro `drawn`: the part of a photo around each mistake."""
    places = {name: at for at, name in enumerate(evaluation.names)}
    values = []
    for each in mistakes:
        at = places[each.name]
        box = _around(each, evaluation.truth[at].size)
        left, top, right, bottom = box
        picture = part_of_photo(dataset.images[at].path, box, side=REGION_SIDE)
        if picture is None:
            continue
        values.append(
            {
                "name": each.name,
                "picture": picture,
                "view": f"{left} {top} {right - left} {bottom - top}",
                "ratio": f"{right - left} / {bottom - top}",
                "drawings": [
                    drawing._replace(is_meant=_is_of(drawing, each))
                    for drawing in _drawings(evaluation, at)
                ],
                "mistake": each,
                "beside": _beside(evaluation, at, each),
            }
        )
    return values


def _drawings(evaluation: BoxEvaluation, at: int) -> list[Drawing]:
    """All boxes of a photo, the wrong ones last so that they are drawn on top."""
    truth, shown = evaluation.truth[at], evaluation.shown[at]
    pairing, classes = evaluation.pairings[at], evaluation.classes
    drawings = []
    for place, label in enumerate(truth.classes.tolist()):
        kind = "missed" if pairing.is_missed[place] else "true"
        kind = "crowd" if truth.is_crowd[place] else kind
        drawings.append(_drawing(kind, classes[label], truth.xyxy[place]))
    kinds: NDArray[np.str_] = np.select(
        [pairing.is_right, pairing.is_mistaken, pairing.is_invented],
        ["found", "mistaken", "invented"],
        "crowd",
    )
    for place, (label, confidence, kind) in enumerate(
        zip(shown.class_id.tolist(), shown.confidence.tolist(), kinds.tolist(), strict=True)
    ):
        drawings.append(_drawing(kind, f"{classes[label]} {confidence:.2f}", shown.xyxy[place]))
    order = ("crowd", "true", "found", "missed", "mistaken", "invented")
    return sorted(drawings, key=lambda each: order.index(each.kind))


def _drawing(kind: str, text: str, corners: NDArray[np.float32]) -> Drawing:
    left, top, right, bottom = (round(float(each), 1) for each in corners)
    return Drawing(kind, text, left, top, round(right - left, 1), round(bottom - top, 1))


def _around(mistake: BoxMistake, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of the photo to show: the box and a margin around it."""
    margin = AROUND * max(mistake.x2 - mistake.x1, mistake.y2 - mistake.y1, 16.0)
    left, top = max(0, int(mistake.x1 - margin)), max(0, int(mistake.y1 - margin))
    right, bottom = (
        max(start + 1, min(limit, int(end + margin)))
        for start, end, limit in zip((left, top), (mistake.x2, mistake.y2), size, strict=True)
    )
    return left, top, right, bottom


def _is_of(drawing: Drawing, mistake: BoxMistake) -> bool:
    corners = _drawing(mistake.kind, "", np.array(mistake[-4:], np.float32))
    return drawing.kind == mistake.kind and drawing[2:6] == corners[2:6]


def _beside(evaluation: BoxEvaluation, at: int, mistake: BoxMistake) -> str:
    """What overlaps the box most: "IoU 0.42 with cell"; "" if nothing does."""
    xyxy, labels = evaluation.truth[at].xyxy, evaluation.truth[at].classes
    if mistake.kind == "missed":
        xyxy, labels = evaluation.shown[at].xyxy, evaluation.shown[at].class_id
    shared = overlaps(np.array([mistake[-4:]], np.float32), xyxy)[0]
    if not len(shared) or shared.max() < LEAST_OVERLAP:
        return ""
    best = int(shared.argmax())
    label = evaluation.classes[int(labels[best])]
    if mistake.kind == "invented" and shared[best] >= IOU:
        return f"another box on a {label} that has one (IoU {shared[best]:.2f})"
    return f"IoU {shared[best]:.2f} with {label}"
