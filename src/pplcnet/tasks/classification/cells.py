"""The confusion matrix of a report, and the photos behind its cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from pplcnet.pages.cells import (
    IMAGES,
    IMAGES_OF_MISTAKES,
    IMAGES_OF_RIGHT,
    Cell,
    cell_values,
    cells_data,
)
from pplcnet.tasks.classification.answers import ClassAnswers
from pplcnet.tasks.classification.evaluation import ClassEvaluation

__all__ = ["MATRIX_CLASSES", "confusion_values"]

MATRIX_CLASSES = 40
"""With more classes, the most frequent confusions are listed instead of the matrix."""
LISTED_PAIRS = 60


def confusion_values(evaluation: ClassEvaluation, answers: ClassAnswers) -> dict[str, Any]:
    """Values for confusion.html: `matrix`, or `pairs` and how many `more`; `cells` for the script.

    A cell is a label (row) and an answer (column).
    """
    counts, classes = evaluation.confusion, evaluation.classes
    filled = sorted(
        zip(*(each.tolist() for each in np.nonzero(counts)), strict=True),
        key=lambda cell: (cell[0] == cell[1], -int(counts[cell])),
    )
    is_matrix = len(classes) <= MATRIX_CLASSES
    shown = filled if is_matrix else filled[:LISTED_PAIRS]
    values = {cell: _values(evaluation, cell) for cell in shown}
    pairs = [values[cell] for cell in shown if cell[0] != cell[1]]
    places = range(len(classes))
    return {
        "classes": classes,
        "matrix": [[values.get((row, column)) for column in places] for row in places]
        if is_matrix
        else None,
        "pairs": pairs,
        "more": sum(row != column for row, column in filled) - len(pairs),
        "cells": cells_data(
            answers.dataset,
            _chosen(answers, shown),
            {cell: int(counts[cell]) for cell in shown},
            dict.fromkeys(shown, answers.confidences),
        ),
    }


def _values(evaluation: ClassEvaluation, cell: Cell) -> dict[str, Any]:
    row, column = cell
    label, answer = evaluation.classes[row], evaluation.classes[column]
    values = cell_values(
        cell,
        int(evaluation.confusion[cell]),
        of=int(evaluation.confusion[row].sum()),
        is_right=row == column,
        text=f"{label} answered {answer}",
    )
    return {**values, "label": label, "answer": answer}


def _chosen(answers: ClassAnswers, shown: list[Cell]) -> dict[Cell, list[int]]:
    """The most confident images of each cell, mistakes first, as far as there is room."""
    members: dict[Cell, list[int]] = {}
    for at in np.argsort(-answers.confidences, kind="stable").tolist():
        members.setdefault((int(answers.labels[at]), int(answers.answers[at])), []).append(at)
    chosen = {}
    left = IMAGES
    for cell in shown:
        limit = IMAGES_OF_RIGHT if cell[0] == cell[1] else IMAGES_OF_MISTAKES
        chosen[cell] = members.get(cell, [])[: min(limit, left)]
        left -= len(chosen[cell])
    return chosen
