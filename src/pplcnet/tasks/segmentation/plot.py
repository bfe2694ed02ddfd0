"""IoU of every class as a PNG file, and charts of a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pplcnet.errors import require
from pplcnet.pages.charts import FIRST, INK, SECOND, Chart
from pplcnet.pages.fonts import installed_fonts
from pplcnet.system.files import replacing
from pplcnet.system.wording import counted, format_number

if TYPE_CHECKING:
    from pplcnet.tasks.segmentation.evaluation import MaskEvaluation

__all__ = ["draw_iou", "region_charts"]

DRAWN = 40
"""Classes with a bar, those with the most pixels."""
SIZES = 12
SIDE = "square root of the area, pixels"


@installed_fonts()
def draw_iou(evaluation: MaskEvaluation, path: Path, title: str = "") -> None:
    """A bar for each class; `title` is what the evaluation is of."""
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
    """How many regions of which size are found, and the share; empty without regions."""
    regions = evaluation.regions
    if not len(regions.pixels):
        return []
    sides = np.sqrt(regions.pixels)
    edges = np.geomspace(sides.min() * 0.99, sides.max() * 1.01, SIZES + 1)
    total, hits = (np.histogram(each, edges)[0] for each in (sides, sides[regions.is_found]))
    centres, widths = np.sqrt(edges[:-1] * edges[1:]), np.diff(edges) * 0.88
    numbers = Chart(
        "Regions by size", SIDE, "regions", "How many regions of which size were found and missed"
    )
    with numbers as axes:
        axes.bar(centres, hits, widths, color=FIRST, label="found")
        axes.bar(centres, total - hits, widths, bottom=hits, color=SECOND, label="missed")
        _by_size(axes)
        axes.legend(labelcolor=INK)
        axes.grid(visible=False, axis="x")
    filled = total > 0
    shares = Chart("Found by size", SIDE, "share found", "The share of the regions of a size found")
    with shares as axes:
        area = 14 + 120 * total[filled] / total.max()
        axes.plot(centres[filled], hits[filled] / total[filled], color=FIRST, linewidth=1)
        axes.scatter(centres[filled], hits[filled] / total[filled], s=area, color=FIRST, zorder=3)
        _by_size(axes)
        axes.set(ylim=(-0.03, 1.06))
    return [numbers.svg(), shares.svg()]


def _by_size(axes: Any) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
