"""Write a comparison as a table, as JSON, and as a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pplcnet.benchmarking.comparison import Comparison, Measurement
from pplcnet.system.files import replacing, write_text
from pplcnet.system.wording import counted

__all__ = ["describe", "write_comparison"]

# Distinguishable in print and for colour-blind readers (Okabe and Ito's palette).
STYLES = {
    "pplcnet": ("#D55E00", "o"),
    "pplcnetv2": ("#E69F00", "s"),
    "mobilenetv1": ("#999999", "v"),
    "mobilenetv2": ("#56B4E9", "^"),
    "mobilenetv3": ("#0072B2", "D"),
    "shufflenetv2": ("#009E73", "P"),
    "ghostnet": ("#CC79A7", "X"),
}
TITLES = {
    "pplcnet": "PP-LCNet", "pplcnetv2": "PP-LCNetV2", "mobilenetv1": "MobileNetV1",
    "mobilenetv2": "MobileNetV2", "mobilenetv3 small": "MobileNetV3 small",
    "mobilenetv3 large": "MobileNetV3 large", "shufflenetv2": "ShuffleNetV2",
    "ghostnet": "GhostNet",
}  # fmt: skip


def describe(comparison: Comparison) -> str:
    """The table, one line per network and way of running, with the machine's limits below."""
    rows = [
        (
            each.network,
            each.way,
            f"{each.median_ms:.2f}",
            f"{each.p90_ms:.2f}",
            "-" if each.images_per_second is None else f"{each.images_per_second:.0f}",
            f"{each.parameters / 1e6:.2f} M",
            f"{each.macs / 1e6:.0f} M",
            "-" if each.reported_top1 is None else f"{each.reported_top1:.2%}",
            "-" if each.of_limit is None else f"{each.of_limit:.0%}",
        )
        for each in comparison.measurements
    ]
    header = (
        "network", "runs in", "ms", "p90", "images/s", "parameters", "MACs", "ImageNet top-1",
        "of limit",
    )  # fmt: skip
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    limits, facts = comparison.limits, comparison.facts
    rates = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in limits.gflops.items())
    return "\n".join(
        [
            *lines,
            f"{facts['processor']}, {counted(facts['threads'], 'thread')}: a matrix product "
            f"reaches {rates}, "
            f"copying {limits.copy_gbytes:.0f} GB/s",
        ]
    )


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write benchmark.json, benchmark.txt and the plot as benchmark.png and .svg."""
    folder.mkdir(parents=True, exist_ok=True)
    data, table = folder / "benchmark.json", folder / "benchmark.txt"
    write_text(data, json.dumps(comparison.to_dict(), indent=2) + "\n")
    write_text(table, describe(comparison) + "\n")
    return [data, table, *_draw(comparison, folder)]


def _draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Plot reported accuracy over latency, with a panel for each way that has accuracies."""
    ways = _drawn_ways(comparison.measurements)
    if not ways:
        return []
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(4.6 * len(ways) + 0.6, 4.8), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(ways), sharey=True, squeeze=False)[0]
    for axes, way in zip(panels, ways, strict=True):
        for line, points in _lines(comparison.measurements, way).items():
            color, marker = STYLES.get(line.split()[0], ("#333333", "."))
            is_small = line.endswith("small")
            axes.plot(
                [each.median_ms for each in points],
                [100 * (each.reported_top1 or 0) for each in points],
                linestyle="--" if is_small else "-", linewidth=1.6, color=color, marker=marker,
                markersize=6, markerfacecolor="white" if is_small else color,
                label=TITLES.get(line, line),
                zorder=3 if line.startswith("pplcnet") else 2,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("milliseconds per image (log)")
        axes.set_title(way, fontsize=10, loc="left")
        axes.grid(color="#dddddd", linewidth=0.6, which="both")
        axes.set_axisbelow(True)
    panels[0].set_ylabel("ImageNet top-1 as reported by the authors, %")
    panels[-1].legend(fontsize=8, loc="lower right", handlelength=3)
    facts = comparison.facts
    title = f"{facts['processor']}, {counted(facts['threads'], 'thread')}"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    paths = [folder / "benchmark.png", folder / "benchmark.svg"]
    for path in paths:
        # With no date and fixed ids, the same numbers give the same file.
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with replacing(path) as file:
            figure.savefig(file, format=path.suffix[1:], metadata=metadata)
    return paths


def _drawn_ways(measurements: Sequence[Measurement]) -> list[str]:
    """At most three: another framework; float32 in the faster engine; the fastest precision."""
    known = [each for each in measurements if each.reported_top1 is not None]
    totals: dict[str, list[float]] = {}
    for each in known:
        totals.setdefault(each.way, []).append(each.median_ms)
    means = {way: sum(values) / len(values) for way, values in totals.items()}
    exact = [way for way in means if way.endswith("float32")]
    lower = [way for way in means if way.endswith(("bfloat16", "int8"))]
    others = [way for way in means if way not in (*exact, *lower)]
    return [min(group, key=lambda way: means[way]) for group in (others, exact, lower) if group]


def _lines(measurements: Sequence[Measurement], way: str) -> dict[str, list[Measurement]]:
    """Family (with "small" or "large" for MobileNetV3) to its points, by multiply-accumulates."""
    lines: dict[str, list[Measurement]] = {}
    for each in measurements:
        if each.way == way and each.reported_top1 is not None:
            size = next((size for size in ("small", "large") if f"_{size}_" in each.network), "")
            is_split = each.family == "mobilenetv3" and size
            lines.setdefault(f"{each.family} {size}" if is_split else each.family, []).append(each)
    return {line: sorted(points, key=lambda point: point.macs) for line, points in lines.items()}
