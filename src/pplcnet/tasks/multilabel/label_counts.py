"""Every label's right and wrong answers as counts, and the photos behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.pages.pictures import thumbnails
from pplcnet.tasks.classification.confusion import PHOTOS, PHOTOS_OF_MISTAKES, PHOTOS_OF_RIGHT
from pplcnet.tasks.multilabel.answers import LabelAnswers

__all__ = ["CELLS", "cells_context"]

CELLS = ("right", "missed", "wrongly named", "correctly not named")
_RIGHT = (0, 3)


def cells_context(answers: LabelAnswers) -> dict[str, Any]:
    """`rows` for the template, a label each, and `cells` for the page's script."""
    members = _members(answers)
    rows = []
    for at, label in enumerate(answers.classes):
        shown = int(answers.is_shown[:, at].sum())
        known = int(answers.is_known[:, at].sum())
        of = (shown, shown, known - shown, known - shown)
        rows.append(
            {
                "label": label,
                "cells": [
                    _cell(label, at, column, len(members.get((at, column), ())), of[column])
                    for column in range(len(CELLS))
                ],
                "unknown": len(answers.marks) - known,
            }
        )
    return {"names": CELLS, "rows": rows, "cells": _cells(answers, members)}


def _members(answers: LabelAnswers) -> dict[tuple[int, int], list[int]]:
    """Places of the photos of every cell that has some, the surest answer first."""
    found = {}
    named, shown = answers.is_named, answers.is_shown
    for column, chosen in enumerate(
        (named & shown, ~named & shown, named & ~shown, ~named & ~shown)
    ):
        for at in range(len(answers.classes)):
            places = np.flatnonzero(chosen[:, at] & answers.is_known[:, at])
            sureness: NDArray[np.float64] = np.abs(answers.distances[places, at])
            if len(places):
                found[at, column] = places[np.argsort(-sureness, kind="stable")].tolist()
    return found


def _cell(label: str, row: int, column: int, count: int, of: int) -> dict[str, Any] | None:
    if not count:
        return None
    return {
        "key": f"{row},{column}",
        "count": count,
        "part": count / of,
        "is_right": column in _RIGHT,
        "text": f"{label}, {CELLS[column]}: {count} photo{'s' * (count != 1)}",
    }


def _cells(answers: LabelAnswers, members: dict[tuple[int, int], list[int]]) -> dict[str, Any]:
    """What the script shows: a photo of each cell in turn, mistakes first, while there is room."""
    chosen: dict[tuple[int, int], list[int]] = {cell: [] for cell in members}
    place: dict[int, int] = {}
    for is_right, limit in ((False, PHOTOS_OF_MISTAKES), (True, PHOTOS_OF_RIGHT)):
        turns = [cell for cell in members if (cell[1] in _RIGHT) == is_right]
        for turn in range(limit):
            for cell in turns:
                for at in members[cell][turn : turn + 1]:
                    if at in place or len(place) < PHOTOS:
                        place.setdefault(at, len(place))
                        chosen[cell].append(at)
    images = answers.dataset.images
    pictures = thumbnails((images[at].path for at in place), side=104)
    return {
        "photos": [
            {
                "name": answers.dataset.name_of(images[at]),
                "picture": pictures.get(images[at].path),
            }
            for at in place
        ],
        "cells": {
            f"{cell[0]},{cell[1]}": {
                "count": len(members[cell]),
                "photos": [place[at] for at in kept],
                "probabilities": [f"{answers.probabilities[at, cell[0]]:.3f}" for at in kept],
            }
            for cell, kept in chosen.items()
        },
    }
