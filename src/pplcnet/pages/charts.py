"""Charts as SVG inside a page, in the page's colours.

Matplotlib draws in placeholder colours, which are replaced by the page's CSS variables; text stays
text, in the page's font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import require
from pplcnet.metrics.calibration import Reliability

__all__ = [
    "FIRST",
    "INK",
    "SECOND",
    "Chart",
    "coverage_chart",
    "curves",
    "found_by_size",
    "histogram",
    "reliability_chart",
]

INK, MUTED, LINE, FIRST, SECOND = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}
# Inches; a page shows them at 300 to 400 pixels, which makes 9.5 points 11 to 14 pixels high.
SIZE = (3.7, 2.55)
SIZE_BINS = 12
_SETTINGS = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


class Chart:
    """One set of axes on a transparent background: `with Chart(...) as axes`, then `svg()`."""

    def __init__(self, title: str, x: str, y: str, description: str) -> None:
        matplotlib = require("matplotlib", purpose="drawing charts", extra="report")
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        # The salt makes the names of clip paths differ between the charts of one page.
        self._settings: Any = {**_SETTINGS, "svg.hashsalt": f"{title} {description}"}
        self._description = description
        self._context = matplotlib.rc_context(self._settings)
        with matplotlib.rc_context(self._settings):
            self._figure: Any = Figure(figsize=SIZE, layout="constrained")
            FigureCanvasSVG(self._figure)
            self.axes: Any = self._figure.add_subplot()
            self.axes.set_title(title)
            self.axes.set_xlabel(x)
            self.axes.set_ylabel(y)

    def __enter__(self) -> Any:
        self._context.__enter__()
        return self.axes

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)

    def svg(self) -> Any:
        """The chart as markup that templates do not escape."""
        import matplotlib
        from markupsafe import Markup, escape

        buffer = io.StringIO()
        with matplotlib.rc_context(self._settings):
            self._figure.savefig(
                buffer,
                format="svg",
                transparent=True,
                metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")),
            )
        text = buffer.getvalue()
        (box,) = re.findall(r'viewBox="([^"]+)"', text)[:1]
        body = text[text.index(">", text.index("<svg")) + 1 :]
        body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
        body = re.sub(r"#0[0-5]0[0-5]0[0-5]\b", lambda found: _VARIABLES[found[0]], body)
        # Matplotlib gives groups the same ids in every chart, but ids must be unique in a page.
        body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
        return Markup(  # noqa: S704 - Matplotlib escapes its text, and the rest is escaped here
            f'<svg class="chart" role="img" aria-label="{escape(self._description)}" '
            f'viewBox="{escape(box)}">{body}'
        )


def curves(
    title: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], description: str
) -> Any:
    """Up to two lines over epochs, with NaN where nothing was measured.

    The scale is logarithmic if a few values would flatten all others, like the loss of a diverging
    first epoch.
    """
    chart = Chart(title, "epoch", "", description)
    with chart as axes:
        for (name, values), colour in zip(lines.items(), (FIRST, SECOND), strict=False):
            marker = "o" if len(x) <= 20 else None
            axes.plot(x, values, color=colour, label=name, marker=marker, markersize=3)
        axes.legend(labelcolor=INK)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if _is_far_out(np.array(list(lines.values()), np.float64)):
            axes.set_yscale("log")
            axes.set_ylabel("logarithmic")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
    return chart.svg()


def _is_far_out(values: NDArray[np.float64]) -> bool:
    """Whether the largest is over ten times the median and all values are positive."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 10 * np.median(finite))


def histogram(title: str, x: str, values: NDArray[np.float64], description: str) -> Any:
    """The number of photos by size, in 24 bars."""
    chart = Chart(title, x, "photos", description)
    with chart as axes:
        low, high = float(values.min()), float(values.max())
        spread = (low, high) if high > low else (low - 0.5, low + 0.5)
        axes.hist(values, bins=24, range=spread, color=FIRST, rwidth=0.88)
        axes.grid(visible=False, axis="x")
    return chart.svg()


def found_by_size(
    sides: NDArray[np.float64], is_found: NDArray[np.bool_], things: str, share: str, title: str
) -> list[Any]:
    """Counts of found and missed things by size, and the share found; [] if there are none.

    Args:
        sides: the square root of each thing's area in pixels.
        things: their name in the charts, such as "boxes".
        share: the y label of the second chart, such as "recall"; `title` is its title.
    """
    if not len(sides):
        return []
    every = np.maximum(sides, 1.0)
    edges = np.geomspace(max(1.0, every.min() * 0.99), every.max() * 1.01, SIZE_BINS + 1)
    total, hits = (np.histogram(each, edges)[0] for each in (every, every[is_found]))
    centres, widths = np.sqrt(edges[:-1] * edges[1:]), np.diff(edges) * 0.88
    side = "square root of the area, pixels"
    described = f"Found and missed {things} by size"
    numbers = Chart(f"{things.capitalize()} by size", side, things, described)
    with numbers as axes:
        axes.bar(centres, hits, widths, color=FIRST, label="found")
        axes.bar(centres, total - hits, widths, bottom=hits, color=SECOND, label="missed")
        _by_size(axes)
        axes.legend(labelcolor=INK)
        axes.grid(visible=False, axis="x")
    filled = total > 0
    shares = Chart(title, side, share, f"Share of {things} found, by size")
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


def reliability_chart(title: str, points: Reliability, description: str, *, x: str, y: str) -> Any:
    """Accuracy by probability, with a point per bin whose area grows with its images.

    Empty bins are left out.
    """
    chart = Chart(title, x, y, description)
    with chart as axes:
        filled = points.counts > 0
        confidence, accuracy = points.confidence[filled], points.accuracy[filled]
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.vlines(confidence, confidence, accuracy, color=SECOND, linewidth=1.6)
        area = 14 + 150 * points.counts[filled] / points.counts.max()
        axes.scatter(confidence, accuracy, s=area, color=FIRST, zorder=3)
        axes.set(xlim=(0, 1.03), ylim=(-0.03, 1.05))
    return chart.svg()


def coverage_chart(
    coverage: NDArray[np.float64],
    precision: NDArray[np.float64],
    description: str,
    x: str = "fraction answered",
    y: str = "fraction correct",
) -> Any:
    """Precision of the accepted answers by the share of photos that are answered."""
    chart = Chart("Only the most confident answers", x, y, description)
    with chart as axes:
        axes.plot(coverage, precision, color=FIRST)
        low = np.floor(10 * float(precision.min())) / 10
        axes.set(xlim=(0, 1.02), ylim=(min(low, 0.9) - 0.01, 1.01))
    return chart.svg()
