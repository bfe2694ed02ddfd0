"""The boxes of an image, as an annotation (`pplcnet.data.annotations`)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_PIXELS", "Boxes", "pixels_in"]

MOST_PIXELS = 1e7
"""The limit for the coordinates of a box's corners."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The boxes of an image's objects; empty for an image without objects."""

    xyxy: NDArray[np.float32]
    """(B, 4): left, top, right, bottom, in pixels of the upright image. Boxes are areas: one
    as large as the image is 0, 0, width, height."""
    classes: NDArray[np.intp]
    """(B,) class indices."""
    is_crowd: NDArray[np.bool_]
    """(B,): whether a box holds many objects, or one too hard to judge: neither trained on nor
    counted."""
    size: tuple[int, int] = (0, 0)
    """(width, height) of the upright image in pixels; (0, 0) if the file cannot be read."""

    @classmethod
    def make(
        cls,
        xyxy: Any,
        classes: Any,
        is_crowd: Any = None,
        size: tuple[int, int] = (0, 0),
    ) -> Self:
        """Make boxes from anything that numpy takes; without `is_crowd`, none is a crowd."""
        own = np.array(classes, np.intp).reshape(-1)
        crowd = np.zeros(len(own), bool) if is_crowd is None else np.array(is_crowd, bool)
        arrays = np.array(xyxy, np.float32).reshape(-1, 4), own, crowd.reshape(-1)
        for each in arrays:
            each.flags.writeable = False
        return cls(*arrays, size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Boxes) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        arrays = (self.xyxy, self.classes, self.is_crowd)
        return (self.size, *(each.tobytes() for each in arrays))

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def shown(self) -> tuple[int, ...]:
        """The classes of the boxes of single objects."""
        return tuple(np.unique(self.classes[~self.is_crowd]).tolist())

    @property
    def unknown(self) -> tuple[int, ...]:
        """Empty: what has no box is not in the image."""
        return ()

    def chosen(self, places: NDArray[Any]) -> Boxes:
        """Some of the boxes, chosen by a mask (B,) or by indices."""
        return self.make(self.xyxy[places], self.classes[places], self.is_crowd[places], self.size)

    def renumbered(self, place: Mapping[int, int], count: int) -> Boxes:
        """The boxes of the classes that are left; possibly none, which means no objects."""
        kept = self.chosen(np.isin(self.classes, [*place]))
        classes = [place[each] for each in kept.classes.tolist()]
        return self.make(kept.xyxy, classes, kept.is_crowd, self.size)

    @classmethod
    def are_contradictory(cls, said: Iterable[Self]) -> bool:
        """Whether they show different classes.

        Boxes alone may differ: in near-duplicates, such as video frames, they must.
        """
        return len({each.shown for each in said}) > 1

    def to_text(self, classes: Sequence[str]) -> str:
        """The number of boxes of each class."""
        counts = Counter(self.classes.tolist())
        return ", ".join(f"{counts[at]} {classes[at]}" for at in sorted(counts)) or "no boxes"

    def facts(self, classes: Sequence[str]) -> str:
        """Every box with the name of its class."""
        return str(self.cells(classes)[-1])

    @classmethod
    def columns(cls, classes: Sequence[str]) -> list[str]:
        """The size of the image, and all its boxes in one column."""
        return ["width", "height", "boxes"]

    @classmethod
    def classes_in(cls, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        """The names in the column of boxes, sorted."""
        if "boxes" not in columns:
            raise ValueError("it has no column 'boxes'")
        at = columns.index("boxes")
        return sorted({str(box[4]) for row in rows for box in _boxes_in(row[at])})

    def cells(self, classes: Sequence[str]) -> list[Any]:
        """Width, height, and the boxes as JSON: left, top, right, bottom, name, 1 for a crowd."""
        boxes = [
            # The shortest text that gives the same float32.
            [*(float(str(value)) for value in box), classes[at], *([1] if is_crowd else [])]
            for box, at, is_crowd in zip(
                self.xyxy, self.classes.tolist(), self.is_crowd.tolist(), strict=True
            )
        ]
        text = json.dumps(boxes, ensure_ascii=False, separators=(",", ":"))
        return [*self.size, text]

    @classmethod
    def from_cells(cls, cells: Sequence[str], classes: Sequence[str]) -> Self:
        """The inverse of `cells`; ValueError for an unknown class, or for what is not a box."""
        boxes, index = _boxes_in(cells[2]), {name: at for at, name in enumerate(classes)}
        unknown = next((box[4] for box in boxes if box[4] not in index), None)
        if unknown is not None:
            raise ValueError(f"{str(unknown)[:40]!r} is not one of the classes")
        return cls.make(
            [box[:4] for box in boxes],
            [index[box[4]] for box in boxes],
            [len(box) > 5 for box in boxes],
            (int(cells[0]), int(cells[1])),
        )


def pixels_in(text: str) -> float | None:
    """The number of pixels in a text; None for a number that no image can have."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < MOST_PIXELS else None


def _boxes_in(cell: str) -> list[list[Any]]:
    """The boxes of a cell; ValueError for anything else."""
    try:
        boxes: list[list[Any]] = json.loads(cell)
    except RecursionError:
        raise ValueError(f"{cell[:40]!r} is not a list of boxes") from None
    is_sound = isinstance(boxes, list) and all(
        isinstance(box, list)
        and len(box) in (5, 6)
        and isinstance(box[4], str)
        and all(type(each) in (int, float) and abs(each) < MOST_PIXELS for each in box[:4])
        for box in boxes
    )
    if not is_sound:
        raise ValueError(f"{cell[:40]!r} is not a list of boxes")
    return boxes
