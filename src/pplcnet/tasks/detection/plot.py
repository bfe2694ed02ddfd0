"""Precision over recall of every class as a PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.errors import require
from pplcnet.pages.fonts import installed_fonts
from pplcnet.system.files import replacing
from pplcnet.system.wording import counted, format_number
from pplcnet.tasks.detection.matching import RECALLS

if TYPE_CHECKING:
    from pplcnet.tasks.detection.evaluation import BoxEvaluation

__all__ = ["draw_curves"]

DRAWN = 10
"""Classes with a line of their own, those with the most boxes."""


@installed_fonts()
def draw_curves(evaluation: BoxEvaluation, path: Path, title: str = "") -> None:
    """A line for each class, at an IoU of 0.5; `title` is what the evaluation is of."""
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
