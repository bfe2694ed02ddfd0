"""The confusion matrix as a page shows it, and the photos behind its cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from pplcnet.pages.pictures import thumbnails
from pplcnet.pages.scored import Answers
from pplcnet.tasks.classification.evaluation import ClassEvaluation

__all__ = ["MATRIX_CLASSES", "confusion_context"]

MATRIX_CLASSES = 40
"""Up to here a matrix is drawn; above, a list of what is confused most."""
LISTED_PAIRS = 60
PHOTOS_OF_MISTAKES = 24
PHOTOS_OF_RIGHT = 8
# A page stays below some megabytes, however many photos are reported on.
PHOTOS = 600


def confusion_context(evaluation: ClassEvaluation, answers: Answers) -> dict[str, Any]:
    """`matrix`, or `pairs` and how many `more`, for the template; `cells` for its script."""
    counts = evaluation.confusion
    classes = evaluation.classes
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    filled = sorted(
        zip(*(each.tolist() for each in np.nonzero(counts)), strict=True),
        key=lambda cell: (cell[0] == cell[1], -int(counts[cell])),
    )
    is_matrix = len(classes) <= MATRIX_CLASSES
    shown = filled if is_matrix else filled[:LISTED_PAIRS]
    pairs = [_cell(counts, shares, classes, *cell) for cell in shown if cell[0] != cell[1]]
    return {
        "matrix": _matrix(counts, shares, classes) if is_matrix else None,
        "pairs": pairs,
        "more": sum(row != column for row, column in filled) - len(pairs),
        "cells": _cells(answers, counts, shown),
    }


def _matrix(counts: Any, shares: Any, classes: tuple[str, ...]) -> list[list[Any]]:
    size = range(len(classes))
    return [
        [
            _cell(counts, shares, classes, row, column) if counts[row, column] else None
            for column in size
        ]
        for row in size
    ]


def _cell(
    counts: Any, shares: Any, classes: tuple[str, ...], row: int, column: int
) -> dict[str, Any]:
    count = int(counts[row, column])
    return {
        "key": f"{row},{column}",
        "count": count,
        "part": float(shares[row, column]),
        "label": classes[row],
        "answer": classes[column],
        "is_right": row == column,
        "text": f"{classes[row]} answered {classes[column]}: {count} photo{'s' * (count != 1)}",
    }


def _cells(answers: Answers, counts: Any, shown: list[tuple[int, int]]) -> dict[str, Any]:
    """What the script shows: the surest photos of each cell, mistakes first while there is room."""
    members: dict[tuple[int, int], list[int]] = {}
    for at in np.argsort(-answers.confidences, kind="stable").tolist():
        members.setdefault((int(answers.labels[at]), int(answers.answers[at])), []).append(at)
    chosen: dict[str, list[int]] = {}
    left = PHOTOS
    for cell in shown:
        limit = PHOTOS_OF_RIGHT if cell[0] == cell[1] else PHOTOS_OF_MISTAKES
        chosen[f"{cell[0]},{cell[1]}"] = kept = members.get(cell, [])[: min(limit, left)]
        left -= len(kept)
    photos = [at for kept in chosen.values() for at in kept]
    place = {at: index for index, at in enumerate(photos)}
    images = answers.dataset.images
    pictures = thumbnails((images[at].path for at in photos), side=104)
    return {
        "photos": [
            {
                "name": answers.dataset.name_of(images[at]),
                "picture": pictures.get(images[at].path),
            }
            for at in photos
        ],
        "cells": {
            f"{row},{column}": {
                "count": int(counts[row, column]),
                "photos": [place[at] for at in chosen[f"{row},{column}"]],
                "probabilities": [
                    f"{answers.confidences[at]:.3f}" for at in chosen[f"{row},{column}"]
                ],
            }
            for row, column in shown
        },
    }
