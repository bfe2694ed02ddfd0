"""An evaluation as files: JSON, CSV, and a picture: the confusion matrix, or labels' figures."""

from __future__ import annotations

from pathlib import Path, PurePath, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import MissingDependencyError
from pplcnet.metrics.intervals import written
from pplcnet.pages.fonts import lettering
from pplcnet.runs.baseline import guessing_warning
from pplcnet.system.files import replacing, write_csv, write_text
from pplcnet.system.wording import counted, json_text, printable
from pplcnet.tasks.classification.evaluation import ClassFigures, Evaluation, Mistake
from pplcnet.tasks.multilabel.evaluation import MultiLabelEvaluation
from pplcnet.tasks.multilabel.evaluation_files import (
    LABELS_PICTURE,
    describe_labels,
    draw_labels,
    write_label_files,
)

__all__ = ["Source", "describe", "draw_confusion", "evaluation_facts", "write_evaluation"]

SHOWN_MISTAKES = 20
DRAWN_CLASSES = 60


class Source(NamedTuple):
    """What an evaluation is of."""

    split: str
    """"train", "validation", "test" or "all"."""
    photos: str
    """The data set's folder or file, an absolute path."""

    def text(self) -> str:
        """In words, with the whole path."""
        return f"{self.part} of {printable(self.photos)}"

    def title(self) -> str:
        """In words, with the last part of the path, shortened."""
        return f"{self.part} of {_shortened(printable(PurePath(self.photos).name))}"

    @property
    def part(self) -> str:
        """The split in words."""
        return "all photos" if self.split == "all" else f"the {self.split} split"


def evaluation_facts(
    evaluation: Evaluation | MultiLabelEvaluation, source: Source
) -> dict[str, Any]:
    """What evaluation.json holds: the split and the photos, then the evaluation."""
    return {**source._asdict(), **evaluation.to_dict()}


def describe(evaluation: Evaluation | MultiLabelEvaluation, mistakes: int = 5) -> str:
    """The figures as text for a terminal, with the most confident mistakes.

    Figures that guessing would reach, too, begin with a warning.
    """
    warning = guessing_warning(evaluation)
    figures = _figures(evaluation, mistakes)
    return f"warning: {printable(warning)}\n{figures}" if warning else figures


def _figures(evaluation: Evaluation | MultiLabelEvaluation, mistakes: int) -> str:
    if isinstance(evaluation, MultiLabelEvaluation):
        return describe_labels(evaluation, mistakes)
    width = max(len(label) for label in (*evaluation.classes, "class"))
    # Among five classes the five most probable are all.
    top5 = f"top-5 {evaluation.top5:.4f}   " if len(evaluation.classes) > 5 else ""
    lines = [
        f"top-1 {evaluation.top1:.4f}   {top5}macro F1 {evaluation.macro_f1:.4f}   images "
        f"{evaluation.images}",
        f"calibration error {evaluation.calibration_error:.3f} (a perfectly calibrated model would "
        f"show {evaluation.least_calibration_error:.3f} with this many images)",
        f"{'class':<{width}}  images  precision  recall     F1",
    ]
    lines += [
        f"{each.label:<{width}}  {each.images:>6}  {written(each.precision):>9}  "
        f"{written(each.recall):>6}  {written(each.f1):>5}"
        for each in evaluation.per_class()
    ]
    if evaluation.mistakes:
        lines.append("most confident mistakes:")
    lines += [
        f"  {each.name}: {each.label}, answered {each.predicted} ({each.probability:.3f})"
        for each in evaluation.mistakes[:mistakes]
    ]
    return "\n".join(map(printable, lines))


def write_evaluation(
    evaluation: Evaluation | MultiLabelEvaluation, folder: Path, source: Source
) -> list[Path]:
    """Write the evaluation as JSON, CSV, Markdown and a picture; returns the files.

    Without matplotlib the picture is left out, and nothing else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ["evaluation.md", "evaluation.json"]
    text = json_text(evaluation_facts(evaluation, source), indent=2)
    write_text(folder / "evaluation.json", text + "\n")
    if isinstance(evaluation, MultiLabelEvaluation):
        names += write_label_files(evaluation, folder)
        title, image = "figures of every label", LABELS_PICTURE
    else:
        names += _write_class_files(evaluation, folder)
        title, image = "confusion matrix", "confusion.png"
    figures = describe(evaluation, SHOWN_MISTAKES)
    page = f"# Evaluation\n\nOn {source.text()}.\n\n```\n{figures}\n```\n"
    try:
        _draw(evaluation, folder / image, source)
    except MissingDependencyError:
        # A picture of an earlier evaluation would show other figures.
        (folder / image).unlink(missing_ok=True)
    else:
        page += f"\n![{title}]({image})\n"
        names.append(image)
    write_text(folder / "evaluation.md", page)
    return [folder / name for name in names]


def _draw(evaluation: Evaluation | MultiLabelEvaluation, path: Path, source: Source) -> None:
    if isinstance(evaluation, MultiLabelEvaluation):
        draw_labels(evaluation, path, source.title())
    else:
        draw_confusion(evaluation, path, source.title())


def _write_class_files(evaluation: Evaluation, folder: Path) -> list[str]:
    write_csv(folder / "per_class.csv", ClassFigures._fields, evaluation.per_class(), decimals=4)
    write_csv(
        folder / "confusion.csv",
        ["true \\ answered", *evaluation.classes],
        [
            [label, *row]
            for label, row in zip(evaluation.classes, evaluation.confusion.tolist(), strict=True)
        ],
    )
    write_csv(
        folder / "mistakes.csv",
        Mistake._fields,
        [[PurePosixPath(each.name), *each[1:]] for each in evaluation.mistakes],
        decimals=4,
    )
    return ["per_class.csv", "confusion.csv", "mistakes.csv"]


@lettering()
def draw_confusion(evaluation: Evaluation, path: Path, source: str = "") -> None:
    """The confusion matrix as PNG: shade is the part of the true class, number is the count.

    The picture grows with the number of classes up to 2000 pixels, and shows the `DRAWN_CLASSES` of
    the most mistakes where there are more, so that labels and numbers stay readable.
    `source` is what the evaluation is of, for the title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = _most_confused(evaluation.confusion, DRAWN_CLASSES)
    shares = evaluation.confusion / np.maximum(evaluation.confusion.sum(axis=1, keepdims=True), 1)
    counts, shares = (each[np.ix_(chosen, chosen)] for each in (evaluation.confusion, shares))
    size = len(chosen)
    side = min(max(4.0, 0.42 * size), 14.4)
    labels = [_shortened(evaluation.classes[at]) for at in chosen]
    margin = 0.095 * max(map(len, labels)) + 0.6

    figure = Figure(
        figsize=(side + margin + 0.3, side + margin + 0.7), dpi=110, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    # Names are names: a dollar sign begins no formula.
    axes.set_xticks(range(size), labels, rotation=90, parse_math=False)
    axes.set_yticks(range(size), labels, parse_math=False)
    axes.tick_params(length=0, labelsize=9)
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    title = f"top-1 {evaluation.top1:.1%} of {counted(evaluation.images, 'image')}"
    if size < len(evaluation.classes):
        title += (
            f"; the {size} of {counted(len(evaluation.classes), 'class')} with the most mistakes"
        )
    if source:
        title += f"\n{source}"
    axes.set_title(title, fontsize=11, loc="left", parse_math=False)
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


def _most_confused(counts: NDArray[np.int64], limit: int) -> NDArray[np.intp]:
    """Places of the classes that most mistakes begin or end at, in their order."""
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    return np.sort(np.argsort(-mistakes, kind="stable")[:limit])


def _shortened(label: str, limit: int = 24) -> str:
    return label if len(label) <= limit else f"{label[: limit - 1]}…"
