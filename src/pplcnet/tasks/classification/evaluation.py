"""How good a network is on images with one class each: figures, confusion, worst mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.metrics.calibration import expected_calibration_error, least_calibration_error
from pplcnet.metrics.intervals import ClassIntervals, f1_interval, wilson
from pplcnet.metrics.ratios import ratios_of
from pplcnet.system.notebook import facts_table
from pplcnet.system.wording import counted, format_number, printable
from pplcnet.tasks.baseline import Guess, best_guess
from pplcnet.tasks.classification.decoding import ClassPrediction
from pplcnet.tasks.task import Plot, Table

__all__ = ["ClassEvaluation", "ClassFigures", "Mistake", "evaluate"]

# Standard deviations by which accuracy has to exceed that of guessing: one-sided, 95 %.
DEVIATIONS = 1.645


class ClassFigures(NamedTuple):
    """One class's figures."""

    label: str
    images: int
    precision: float | None
    """None for a class that is never predicted."""
    recall: float | None
    """None for a class without images, as is F1."""
    f1: float | None


class Mistake(NamedTuple):
    """One image whose answer is not its label."""

    name: str
    label: str
    predicted: str
    probability: float
    """The probability of the wrong answer."""


@dataclass(frozen=True)
class ClassEvaluation:
    """The result of `pplcnet.evaluate` for images with one class each."""

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(classes, classes) counts: row is the true class, column the answer."""
    top1: float
    top5: float
    """The share of the images whose class is among the five most probable."""
    mistakes: tuple[Mistake, ...]
    """The most confident first."""
    calibration_error: float
    """Expected calibration error, 0 to 1."""
    least_calibration_error: float
    """A perfectly calibrated model's error with this many images."""

    def __repr__(self) -> str:
        return (
            f"<ClassEvaluation {self.top1:.4f} top-1 on {counted(self.images, 'image')}, "
            f"{counted(len(self.classes), 'class')}, {counted(len(self.mistakes), 'mistake')}>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (name, value if isinstance(value, int) else f"{value:.4f}")
            for name, value in self.figures().items()
        ]
        return facts_table(f"{counted(len(self.classes), 'class')}", rows)

    @property
    def images(self) -> int:
        """The number of evaluated images."""
        return int(self.confusion.sum())

    def per_class(self) -> list[ClassFigures]:
        """Precision, recall and F1 of every class."""
        counts = np.diag(self.confusion), self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return [
            ClassFigures(label, actual, *ratios_of(right, answered, actual))
            for label, right, answered, actual in zip(
                self.classes, *(each.tolist() for each in counts), strict=True
            )
        ]

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have images."""
        values = [figures.f1 for figures in self.per_class() if figures.f1 is not None]
        return float(np.mean(values))

    def figures(self) -> dict[str, Any]:
        """The summary figures."""
        return {
            "images": self.images,
            "top1": self.top1,
            "top5": self.top5,
            "macro_f1": self.macro_f1,
            "calibration_error": self.calibration_error,
            "least_calibration_error": self.least_calibration_error,
        }

    def to_dict(self, most_mistakes: int = 50) -> dict[str, Any]:
        """Plain values for JSON, with the `most_mistakes` most confident mistakes."""
        return {
            **self.figures(),
            "classes": list(self.classes),
            "per_class": [figures._asdict() for figures in self.per_class()],
            "confusion": self.confusion.tolist(),
            "mistakes": [mistake._asdict() for mistake in self.mistakes[:most_mistakes]],
        }

    def intervals(self) -> list[ClassIntervals]:
        """95 % intervals of every class, in the order of `per_class`."""
        right = np.diag(self.confusion)
        actual, answered = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        counts = zip(right.tolist(), actual.tolist(), answered.tolist(), strict=True)
        return [
            ClassIntervals(wilson(hit, said), wilson(hit, have), f1_interval(hit, have, said))
            for hit, have, said in counts
        ]

    @property
    def plot(self) -> Plot:
        """The confusion matrix."""
        return Plot("confusion.png", "confusion matrix")

    def headline(self) -> str:
        """Top-1, and top-5 where there are more than five classes."""
        top5 = f", {self.top5:.4f} top-5" if len(self.classes) > 5 else ""
        return f"{self.top1:.4f} top-1{top5}"

    def weakness(self) -> str:
        """Why top-1 is not clearly better than always predicting the most frequent class.

        Clearly better means a difference that chance gives in less than one case in twenty.
        """
        guess: Guess = best_guess(self.classes, self.confusion.sum(axis=1).tolist())
        if guess.accuracy >= 1:  # with images of one class only, this is undecidable
            return ""
        spread = (guess.accuracy * (1 - guess.accuracy) / max(1, self.images)) ** 0.5
        if self.top1 > guess.accuracy + DEVIATIONS * spread:
            return ""
        return (
            f"accuracy {self.top1:.3f} is not clearly above {guess.accuracy:.3f}, which always "
            f"answering {guess.label!r} gets on these {self.images} photos"
        )

    def tables(self) -> list[Table]:
        """Figures by class, the confusion matrix, and all mistakes."""
        return [
            Table("per_class.csv", ClassFigures._fields, self.per_class()),
            Table(
                "confusion.csv",
                ["true \\ answered", *self.classes],
                [
                    [label, *row]
                    for label, row in zip(self.classes, self.confusion.tolist(), strict=True)
                ],
            ),
            Table(
                "mistakes.csv",
                Mistake._fields,
                [[PurePosixPath(each.name), *each[1:]] for each in self.mistakes],
            ),
        ]

    def to_text(self, mistakes: int = 5) -> str:
        """The figures for a terminal, with the most confident mistakes."""
        width = max(len(label) for label in (*self.classes, "class"))
        # With at most five classes, top-5 is always 1.
        top5 = f"top-5 {self.top5:.4f}   " if len(self.classes) > 5 else ""
        lines = [
            f"top-1 {self.top1:.4f}   {top5}macro F1 {self.macro_f1:.4f}   images {self.images}",
            f"calibration error {self.calibration_error:.3f} (a perfectly calibrated model would "
            f"show {self.least_calibration_error:.3f} with this many images)",
            f"{'class':<{width}}  images  precision  recall     F1",
        ]
        lines += [
            f"{each.label:<{width}}  {each.images:>6}  {format_number(each.precision):>9}  "
            f"{format_number(each.recall):>6}  {format_number(each.f1):>5}"
            for each in self.per_class()
        ]
        if self.mistakes:
            lines.append("most confident mistakes:")
        lines += [
            f"  {each.name}: {each.label}, answered {each.predicted} ({each.probability:.3f})"
            for each in self.mistakes[:mistakes]
        ]
        return "\n".join(map(printable, lines))

    def draw(self, path: Path, title: str = "") -> None:
        """The confusion matrix as PNG; `title` says what was evaluated.

        Raises:
            MissingDependencyError: Matplotlib is not installed.
        """
        from pplcnet.tasks.classification.plot import draw_confusion

        draw_confusion(self, path, title)


def evaluate(
    manifest: Manifest,
    dataset: Dataset,
    predictions: Iterable[tuple[LabelledImage, ClassPrediction]],
) -> ClassEvaluation:
    """Compare predictions with the labels of a data set that has the manifest's classes."""
    classes = manifest.classes
    confusion = np.zeros((len(classes),) * 2, np.int64)
    mistakes, in_top5 = [], 0
    confidences, is_right = [], []
    for image, prediction in predictions:
        (label,) = image.shown
        best = prediction.top(5)
        confusion[label, best[0].class_index] += 1
        in_top5 += any(score.class_index == label for score in best)
        confidences.append(best[0].probability)
        is_right.append(best[0].class_index == label)
        if best[0].class_index != label:
            name = dataset.name_of(image)
            mistakes.append(Mistake(name, classes[label], best[0].label, best[0].probability))
    return ClassEvaluation(
        classes=classes,
        confusion=confusion,
        top1=float(np.trace(confusion) / len(dataset)),
        top5=in_top5 / len(dataset),
        mistakes=tuple(sorted(mistakes, key=lambda each: -each.probability)),
        calibration_error=expected_calibration_error(
            np.asarray(confidences), np.asarray(is_right, bool)
        ),
        least_calibration_error=least_calibration_error(np.asarray(confidences)),
    )
