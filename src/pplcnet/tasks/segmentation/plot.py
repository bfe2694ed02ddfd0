"""IoU of every class as a PNG file, and charts for a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pplcnet.errors import require
from pplcnet.pages.charts import FIRST, found_by_size
from pplcnet.pages.fonts import installed_fonts
from pplcnet.system.files import replacing
from pplcnet.system.wording import counted, format_number

if TYPE_CHECKING:
    from pplcnet.tasks.segmentation.evaluation import MaskEvaluation

__all__ = ["draw_iou", "region_charts"]

DRAWN = 40
"""The number of classes with a bar, those with the most pixels."""


@installed_fonts()
def draw_iou(evaluation: MaskEvaluation, path: Path, title: str = "") -> None:
    """A PNG with a bar for each class; `title` says what was evaluated."""
    require("matplotlib", purpose="drawing bars", extra="report")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = sorted(evaluation.per_class(), key=lambda each: -each.pixels)[:DRAWN][::-1]
    height = 1.6 + 0.32 * len(rows)
    figure = Figure(figsize=(7.5, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.barh(range(len(rows)), [each.iou or 0.0 for each in rows], color=FIRST)
    axes.set_yticks(range(len(rows)), [each.label[:30] for each in rows], parse_math=False)
    for at, each in enumerate(rows):
        axes.text((each.iou or 0.0) + 0.01, at, format_number(each.iou), va="center", fontsize=8)
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("IoU")
    axes.grid(color="#dddddd", linewidth=0.6, axis="x")
    axes.set_axisbelow(True)
    axes.set_title(
        f"mIoU {format_number(evaluation.areas.miou)} on {counted(evaluation.images, 'image')}"
        + (f"\n{title}" if title else ""),
        fontsize=10,
        loc="left",
        parse_math=False,
    )
    with replacing(path) as file:
        figure.savefig(file, format="png")


def region_charts(evaluation: MaskEvaluation) -> list[Any]:
    """The number of regions by size, and the share of them found; empty without regions."""
    regions = evaluation.regions
    sides = np.sqrt(regions.pixels)
    return found_by_size(sides, regions.is_found, "regions", "share found", "Found by size")
