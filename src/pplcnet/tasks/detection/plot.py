"""Precision-recall curves, and recall by size: a PNG file, and charts for a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pplcnet.errors import require
from pplcnet.pages.charts import FIRST, SECOND, Chart, found_by_size
from pplcnet.pages.fonts import installed_fonts
from pplcnet.system.files import replacing
from pplcnet.system.wording import counted, format_number
from pplcnet.tasks.detection.matching import RECALLS

if TYPE_CHECKING:
    from pplcnet.tasks.detection.evaluation import BoxEvaluation

__all__ = ["draw_curves", "precision_recall_chart", "size_charts"]

DRAWN = 10
"""Only this many classes get a curve of their own, those with the most boxes."""


@installed_fonts()
def draw_curves(evaluation: BoxEvaluation, path: Path, title: str = "") -> None:
    """A PNG with a curve for each class, at an IoU of 0.5; `title` says what was evaluated."""
    require("matplotlib", purpose="drawing curves", extra="report")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.0), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    most_first = sorted(enumerate(evaluation.per_class()), key=lambda each: -each[1].boxes)
    for at, each in most_first[:DRAWN]:
        curve = evaluation.matches.curve(at)
        if curve is not None:
            axes.plot(RECALLS, curve, label=f"{each.label[:30]} {format_number(each.ap50)}")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.lines:
        legend = axes.legend(loc="lower left", fontsize=9, title="class, AP at an IoU of 0.5")
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.set_title(
        f"AP {format_number(evaluation.matches.average_precision())} on "
        f"{counted(evaluation.images, 'image')}" + (f"\n{title}" if title else ""),
        fontsize=10,
        loc="left",
        parse_math=False,
    )
    with replacing(path) as file:
        figure.savefig(file, format="png")


def precision_recall_chart(evaluation: BoxEvaluation, at: int) -> Any:
    """The curve of one class, at an IoU of 0.5; None if it has no true box."""
    curve, figures = evaluation.matches.curve(at), evaluation.per_class()[at]
    if curve is None:
        return None
    title = f"{figures.label[:24]}, AP50 {format_number(figures.ap50)}"
    described = f"Precision-recall curve of {figures.label}, at an IoU of 0.5"
    chart = Chart(title, "recall", "precision", described)
    with chart as axes:
        axes.plot(RECALLS, curve, color=FIRST)
        if figures.recall is not None and figures.precision is not None:
            # The operating point of the boxes that are shown.
            axes.plot([figures.recall], [figures.precision], "o", color=SECOND, markersize=6)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04))
    return chart.svg()


def size_charts(evaluation: BoxEvaluation) -> list[Any]:
    """The number of boxes by size, and the share of them found; empty without boxes."""
    sides, is_found = list[float](), list[bool]()
    for boxes, pairing in zip(evaluation.truth, evaluation.pairings, strict=True):
        found = np.zeros(len(boxes), bool)
        found[pairing.partner[pairing.is_right]] = True
        true = ~boxes.is_crowd
        extent = boxes.xyxy[true, 2:] - boxes.xyxy[true, :2]
        sides += np.sqrt(extent.clip(0).prod(axis=1)).tolist()
        is_found += found[true].tolist()
    found_ones = np.array(is_found, bool)
    return found_by_size(np.array(sides), found_ones, "boxes", "recall", "Recall by size")
