"""The confusion matrix as a PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pplcnet.pages.fonts import installed_fonts
from pplcnet.system.files import replacing
from pplcnet.system.wording import abbreviated, counted

if TYPE_CHECKING:
    from pplcnet.tasks.classification.evaluation import ClassEvaluation

__all__ = ["DRAWN_CLASSES", "draw_confusion", "most_confused"]

DRAWN_CLASSES = 60


@installed_fonts()
def draw_confusion(evaluation: ClassEvaluation, path: Path, title: str = "") -> None:
    """The confusion matrix as PNG: the shade is the share of the true class, the number the count.

    The image grows with the number of classes up to 2000 pixels. With more than `DRAWN_CLASSES`,
    only those with the most mistakes are drawn, to keep labels and numbers readable.

    Args:
        title: says what was evaluated, for the title's second line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = most_confused(evaluation.confusion, DRAWN_CLASSES)
    shares = evaluation.confusion / np.maximum(evaluation.confusion.sum(axis=1, keepdims=True), 1)
    counts, shares = (each[np.ix_(chosen, chosen)] for each in (evaluation.confusion, shares))
    size = len(chosen)
    side = min(max(4.0, 0.42 * size), 14.4)
    labels = [abbreviated(evaluation.classes[at]) for at in chosen]
    margin = 0.095 * max(map(len, labels)) + 0.6

    figure = Figure(
        figsize=(side + margin + 0.3, side + margin + 0.7), dpi=110, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    # Keep a dollar sign in a name from starting a formula.
    axes.set_xticks(range(size), labels, rotation=90, parse_math=False)
    axes.set_yticks(range(size), labels, parse_math=False)
    axes.tick_params(length=0, labelsize=9)
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    heading = f"top-1 {evaluation.top1:.1%} of {counted(evaluation.images, 'image')}"
    if size < len(evaluation.classes):
        heading += (
            f"; the {size} of {counted(len(evaluation.classes), 'class')} with the most mistakes"
        )
    if title:
        heading += f"\n{title}"
    axes.set_title(heading, fontsize=11, loc="left", parse_math=False)
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[row, column] > 0.5 else "#222222",
        )
    with replacing(path) as file:
        figure.savefig(file, format="png")


def most_confused(counts: NDArray[np.int64], limit: int) -> NDArray[np.intp]:
    """Indices of the `limit` classes with the most mistakes, as label or as answer, ascending."""
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    return np.sort(np.argsort(-mistakes, kind="stable")[:limit])
