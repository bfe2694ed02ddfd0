"""Counts of right and wrong answers on each label, and the photos behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.pages.cells import (
    IMAGES,
    IMAGES_OF_MISTAKES,
    IMAGES_OF_RIGHT,
    Cell,
    cell_values,
    cells_data,
)
from pplcnet.tasks.multilabel.answers import LabelAnswers

__all__ = ["COLUMNS", "answers_values"]

COLUMNS = ("correctly predicted", "missed", "wrongly predicted", "correctly not predicted")
_RIGHT = (0, 3)


def answers_values(answers: LabelAnswers) -> dict[str, Any]:
    """Values for answers.html: a row for each label, and `cells` for the script."""
    members = _members(answers)
    rows = []
    for at, label in enumerate(answers.classes):
        shown = int(answers.is_shown[:, at].sum())
        known = int(answers.is_known[:, at].sum())
        totals = (shown, shown, known - shown, known - shown)
        cells: list[dict[str, Any] | None] = [
            cell_values(
                (at, column),
                len(members[at, column]),
                of=total,
                is_right=column in _RIGHT,
                text=f"{label}, {COLUMNS[column]}",
            )
            if (at, column) in members
            else None
            for column, total in enumerate(totals)
        ]
        rows.append({"label": label, "cells": cells, "unknown": len(answers.marks) - known})
    return {
        "names": COLUMNS,
        "rows": rows,
        "has_unknown": not answers.is_known.all(),
        "cells": cells_data(
            answers.dataset,
            _chosen(members),
            {cell: len(each) for cell, each in members.items()},
            {cell: answers.probabilities[:, cell[0]] for cell in members},
        ),
    }


def _members(answers: LabelAnswers) -> dict[Cell, Sequence[int]]:
    """Indices of the images in every non-empty cell, the most confident answer first."""
    found: dict[Cell, Sequence[int]] = {}
    predicted, shown = answers.is_predicted, answers.is_shown
    for column, chosen in enumerate(
        (predicted & shown, ~predicted & shown, predicted & ~shown, ~predicted & ~shown)
    ):
        for at in range(len(answers.classes)):
            places = np.flatnonzero(chosen[:, at] & answers.is_known[:, at])
            distances: NDArray[np.float64] = np.abs(answers.distances[places, at])
            if len(places):
                found[at, column] = places[np.argsort(-distances, kind="stable")].tolist()
    return found


def _chosen(members: dict[Cell, Sequence[int]]) -> dict[Cell, list[int]]:
    """Images of each cell, taken round robin, mistakes first, as far as there is room."""
    chosen: dict[Cell, list[int]] = {cell: [] for cell in members}
    taken: set[int] = set()
    for is_right, limit in ((False, IMAGES_OF_MISTAKES), (True, IMAGES_OF_RIGHT)):
        turns = [cell for cell in members if (cell[1] in _RIGHT) == is_right]
        for turn in range(limit):
            for cell in turns:
                for at in members[cell][turn : turn + 1]:
                    if at in taken or len(taken) < IMAGES:
                        taken.add(at)
                        chosen[cell].append(at)
    return chosen
