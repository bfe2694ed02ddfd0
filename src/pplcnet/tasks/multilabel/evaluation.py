"""How good a network is on multi-label images: figures, worst mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import PRESENT, UNKNOWN
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.metrics.calibration import expected_calibration_error, least_calibration_error
from pplcnet.metrics.ratios import ratios_of
from pplcnet.system.notebook import facts_table
from pplcnet.system.wording import counted, format_number, printable
from pplcnet.tasks.baseline import Guess, gain_over
from pplcnet.tasks.multilabel.decoding import LabelPrediction, thresholds_of
from pplcnet.tasks.multilabel.measures import (
    average_precisions,
    counts_at,
    marks_of,
    mean_average_precision,
)
from pplcnet.tasks.task import Plot, Table

__all__ = ["LabelEvaluation", "LabelFigures", "LabelMistake", "evaluate"]

# The least gain over guessing, as a share of the way to perfect, that counts as learned.
LEAST_GAIN = 0.1


class LabelFigures(NamedTuple):
    """One label's figures, over the images for which it is known."""

    label: str
    images: int
    """Support: the number of images that show it."""
    known: int
    """The number of images for which it is known."""
    average_precision: float | None
    """None if no image shows it, as are recall and F1."""
    threshold: float
    precision: float | None
    """At the threshold, as are recall and F1; None if the label is never predicted."""
    recall: float | None
    f1: float | None


class LabelMistake(NamedTuple):
    """One label of one image with the wrong answer."""

    name: str
    label: str
    is_shown: bool
    """Whether the image shows the label."""
    probability: float


@dataclass(frozen=True)
class LabelEvaluation:
    """The result of `pplcnet.evaluate` for multi-label data; an undefined figure is None."""

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    names: tuple[str, ...]
    """The names of the images."""
    probabilities: NDArray[np.float64]
    """(N, labels)"""
    marks: NDArray[np.int8]
    """(N, labels): 1 shown, 0 not shown, -1 unknown."""

    def __repr__(self) -> str:
        value = self.mean_average_precision
        return (
            f"<LabelEvaluation {'no' if value is None else f'{value:.4f}'} mAP on "
            f"{counted(self.images, 'image')}, {counted(len(self.classes), 'label')}>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (name, "-" if value is None else value if isinstance(value, int) else f"{value:.4f}")
            for name, value in self.figures().items()
        ]
        return facts_table(f"{counted(len(self.classes), 'label')}", rows)

    @property
    def images(self) -> int:
        """The number of evaluated images."""
        return len(self.marks)

    @property
    def mean_average_precision(self) -> float | None:
        """mAP: the mean over the labels that some image shows; None if there are none."""
        is_any_shown = (self.marks == PRESENT).any()
        return mean_average_precision(self.probabilities, self.marks) if is_any_shown else None

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(N, labels): whether the probability reaches the label's threshold."""
        return np.asarray(self.probabilities >= np.asarray(self.thresholds))

    @property
    def macro_f1(self) -> float | None:
        """The mean F1 of the labels that some image shows; None if there are none."""
        values = [each.f1 for each in self.per_label() if each.f1 is not None]
        return float(np.mean(values)) if values else None

    @property
    def micro_f1(self) -> float | None:
        """F1 of all labels of all images together; None if no image shows any."""
        counts = counts_at(self.answered, self.marks)
        return ratios_of(*(int(each.sum()) for each in counts))[2]

    @property
    def all_right(self) -> float | None:
        """The share of the images whose known labels are all right.

        Images without known labels do not count; None if all are such.
        """
        known = self.marks != UNKNOWN
        wrong = ((self.answered != (self.marks == PRESENT)) & known).any(axis=1)
        counted = known.any(axis=1)
        return float((~wrong[counted]).mean()) if counted.any() else None

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error over all known labels of all images, 0 to 1.

        None if no label is known.
        """
        known = self.marks != UNKNOWN
        if not known.any():
            return None
        return expected_calibration_error(self.probabilities[known], self.marks[known] == PRESENT)

    @cached_property
    def least_calibration_error(self) -> float | None:
        """A perfectly calibrated model's error with this many known labels; None without any."""
        known = self.marks != UNKNOWN
        return least_calibration_error(self.probabilities[known]) if known.any() else None

    def per_label(self) -> list[LabelFigures]:
        """The figures of every label."""
        counts = np.stack(counts_at(self.answered, self.marks), axis=1).tolist()
        known = (self.marks != UNKNOWN).sum(axis=0)
        found = average_precisions(self.probabilities, self.marks)
        return [
            LabelFigures(
                label,
                shown,
                int(known[at]),
                float(found[at]) if shown else None,
                self.thresholds[at],
                *ratios_of(right, answers, shown),
            )
            for at, (label, (right, answers, shown)) in enumerate(
                zip(self.classes, counts, strict=True)
            )
        ]

    @property
    def mistakes(self) -> list[LabelMistake]:
        """All wrong answers on known labels, the most confident first."""
        wrong = (self.answered != (self.marks == PRESENT)) & (self.marks != UNKNOWN)
        distance = np.abs(self.probabilities - (self.marks == PRESENT))
        places = zip(*np.nonzero(wrong), strict=True)
        return [
            LabelMistake(
                self.names[at],
                self.classes[label],
                bool(self.marks[at, label] == PRESENT),
                float(self.probabilities[at, label]),
            )
            for at, label in sorted(places, key=lambda place: -distance[place])
        ]

    def figures(self) -> dict[str, Any]:
        """The summary figures."""
        return {
            "images": self.images,
            "map": self.mean_average_precision,
            "macro_f1": self.macro_f1,
            "micro_f1": self.micro_f1,
            "all_right": self.all_right,
            "calibration_error": self.calibration_error,
            "least_calibration_error": self.least_calibration_error,
        }

    def to_dict(self, most_mistakes: int = 50) -> dict[str, Any]:
        """Plain values for JSON, with the `most_mistakes` worst mistakes."""
        return {
            "task": "multilabel",
            **self.figures(),
            "classes": list(self.classes),
            "per_label": [figures._asdict() for figures in self.per_label()],
            "mistakes": [mistake._asdict() for mistake in self.mistakes[:most_mistakes]],
        }

    @property
    def plot(self) -> Plot:
        """Average precision and F1 of every label."""
        return Plot("labels.png", "figures of every label")

    def headline(self) -> str:
        """mAP and macro F1."""
        whole = format_number(self.mean_average_precision, 4)
        return f"{whole} mAP, {format_number(self.macro_f1, 4)} macro F1"

    def weakness(self) -> str:
        """Why mAP is no better than that of guessing, which equals the share of shown labels."""
        found, known = self.mean_average_precision, self.marks != UNKNOWN
        if found is None or not known.any():
            return ""
        share = float((self.marks[known] == PRESENT).mean())
        if gain_over(Guess("", share), found) > LEAST_GAIN:
            return ""
        return f"mAP {found:.3f} is about what guessing gets ({share:.3f})"

    def tables(self) -> list[Table]:
        """The figures by label, and all mistakes."""
        return [
            Table("per_label.csv", LabelFigures._fields, self.per_label()),
            Table(
                "mistakes.csv",
                LabelMistake._fields,
                [
                    [PurePosixPath(each.name), each.label, int(each.is_shown), each.probability]
                    for each in self.mistakes
                ],
            ),
        ]

    def to_text(self, mistakes: int = 5) -> str:
        """The figures for a terminal, with the worst mistakes."""
        width = max(len(label) for label in (*self.classes, "label"))
        lines = [
            f"mAP {format_number(self.mean_average_precision, 4)}   macro F1 "
            f"{format_number(self.macro_f1, 4)}   micro F1 {format_number(self.micro_f1, 4)}   "
            f"images {self.images}",
            *self._of_known(),
            f"{'label':<{width}}  images  known     AP  threshold  precision  recall     F1",
        ]
        lines += [
            f"{each.label:<{width}}  {each.images:>6}  {each.known:>5}  "
            f"{format_number(each.average_precision):>5}  {each.threshold:>9.3f}  "
            f"{format_number(each.precision):>9}  {format_number(each.recall):>6}  "
            f"{format_number(each.f1):>5}"
            for each in self.per_label()
        ]
        if worst := self.mistakes[:mistakes]:
            lines.append("worst mistakes:")
        for each in worst:
            what = "missed" if each.is_shown else "predicted, but absent"
            lines.append(f"  {each.name}: {each.label} {what} ({each.probability:.3f})")
        return "\n".join(map(printable, lines))

    def _of_known(self) -> list[str]:
        if self.calibration_error is None:
            return ["no label of any image is known"]
        return [
            f"every known label right on {format_number(self.all_right)} of the images",
            f"calibration error {format_number(self.calibration_error)} (a perfectly calibrated "
            f"model would show {format_number(self.least_calibration_error)} with as many labels)",
        ]

    def draw(self, path: Path, title: str = "") -> None:
        """Average precision and F1 of every label as PNG; `title` says what was evaluated.

        Raises:
            MissingDependencyError: Matplotlib is not installed.
        """
        from pplcnet.tasks.multilabel.plot import draw_labels

        draw_labels(self, path, title)


def evaluate(
    manifest: Manifest,
    dataset: Dataset,
    predictions: Iterable[tuple[LabelledImage, LabelPrediction]],
) -> LabelEvaluation:
    """Compare predictions with the marks of a data set that has the manifest's labels."""
    probabilities = np.zeros((len(dataset), len(manifest.classes)))
    for at, (_, prediction) in enumerate(predictions):
        probabilities[at] = prediction.probabilities
    return LabelEvaluation(
        manifest.classes,
        thresholds_of(manifest),
        tuple(dataset.name_of(image) for image in dataset.images),
        probabilities,
        marks_of(dataset.images, len(manifest.classes)),
    )
