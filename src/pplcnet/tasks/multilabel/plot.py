"""Average precision and F1 of every label as a PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pplcnet.pages.fonts import installed_fonts
from pplcnet.system.files import replacing
from pplcnet.system.wording import counted, format_number

if TYPE_CHECKING:
    from pplcnet.tasks.multilabel.evaluation import LabelEvaluation

__all__ = ["draw_labels"]


@installed_fonts()
def draw_labels(evaluation: LabelEvaluation, path: Path, title: str = "") -> None:
    """Average precision of every label as a bar, the best on top, with F1 as a dot, as PNG.

    `title` says what was evaluated.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = sorted(evaluation.per_label(), key=lambda each: each.average_precision or 0.0)
    places = np.arange(len(rows))
    figure = Figure(figsize=(7.5, min(1.8 + 0.3 * len(rows), 60.0)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    found = [each.average_precision or 0.0 for each in rows]
    axes.barh(places, found, color="#9ecae1", label="average precision")
    dots = [np.nan if each.f1 is None else each.f1 for each in rows]
    axes.plot(dots, places, "o", color="#08519c", ms=5, label="F1")
    labels = [f"{each.label[:30]} ({each.images})" for each in rows]
    axes.set_yticks(places, labels, parse_math=False)
    axes.tick_params(length=0, labelsize=9)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(
        f"mAP {format_number(evaluation.mean_average_precision)} on "
        f"{counted(evaluation.images, 'image')} (in "
        "brackets: the support of each label)" + (f"\n{title}" if title else ""),
        fontsize=10,
        loc="left",
        parse_math=False,
    )
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    with replacing(path) as file:
        figure.savefig(file, format="png")
