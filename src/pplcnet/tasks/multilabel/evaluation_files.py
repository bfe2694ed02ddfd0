"""A multi-label evaluation as text, CSV, and a picture of every label's figures."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from pplcnet.metrics.intervals import written
from pplcnet.pages.fonts import lettering
from pplcnet.system.files import replacing, write_csv
from pplcnet.system.wording import counted, printable
from pplcnet.tasks.multilabel.evaluation import LabelFigures, LabelMistake, MultiLabelEvaluation

__all__ = ["LABELS_PICTURE", "describe_labels", "draw_labels", "write_label_files"]

LABELS_PICTURE = "labels.png"


def describe_labels(evaluation: MultiLabelEvaluation, mistakes: int) -> str:
    """The figures as text for a terminal, with the worst mistakes."""
    width = max(len(label) for label in (*evaluation.classes, "label"))
    lines = [
        f"mAP {written(evaluation.mean_average_precision, 4)}   macro F1 "
        f"{written(evaluation.macro_f1, 4)}   micro F1 {written(evaluation.micro_f1, 4)}   images "
        f"{evaluation.images}",
        *_of_known(evaluation),
        f"{'label':<{width}}  images  known     AP  threshold  precision  recall     F1",
    ]
    lines += [_line(each, width) for each in evaluation.per_label()]
    worst = evaluation.mistakes[:mistakes]
    if worst:
        lines.append("worst mistakes:")
    lines += [f"  {each.name}: {_said(each)} ({each.probability:.3f})" for each in worst]
    return "\n".join(map(printable, lines))


def _of_known(evaluation: MultiLabelEvaluation) -> list[str]:
    if evaluation.calibration_error is None:
        return ["no label of any image is known"]
    return [
        f"every known label right on {written(evaluation.all_right)} of the images",
        f"calibration error {written(evaluation.calibration_error)} (a perfectly "
        f"calibrated model would show {written(evaluation.least_calibration_error)} with this many "
        "labels)",
    ]


def _line(each: LabelFigures, width: int) -> str:
    return (
        f"{each.label:<{width}}  {each.images:>6}  {each.known:>5}  "
        f"{written(each.average_precision):>5}  {each.threshold:>9.3f}  "
        f"{written(each.precision):>9}  {written(each.recall):>6}  {written(each.f1):>5}"
    )


def _said(mistake: LabelMistake) -> str:
    return f"{mistake.label} {'missed' if mistake.is_shown else 'answered, not there'}"


def write_label_files(evaluation: MultiLabelEvaluation, folder: Path) -> list[str]:
    """Write per_label.csv and mistakes.csv; returns their names."""
    write_csv(folder / "per_label.csv", LabelFigures._fields, evaluation.per_label(), decimals=4)
    write_csv(
        folder / "mistakes.csv",
        ["name", "label", "is_shown", "probability"],
        [
            [PurePosixPath(m.name), m.label, int(m.is_shown), m.probability]
            for m in evaluation.mistakes
        ],
        decimals=4,
    )
    return ["per_label.csv", "mistakes.csv"]


@lettering()
def draw_labels(evaluation: MultiLabelEvaluation, path: Path, source: str = "") -> None:
    """Average precision of every label as a bar, the best on top, and F1 as a dot, as PNG.

    `source` is what the evaluation is of, for the title.
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
        f"mAP {written(evaluation.mean_average_precision)} on "
        f"{counted(evaluation.images, 'image')} (in "
        "brackets: those that show it)" + (f"\n{source}" if source else ""),
        fontsize=10,
        loc="left",
        parse_math=False,
    )
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    with replacing(path) as file:
        figure.savefig(file, format="png")
