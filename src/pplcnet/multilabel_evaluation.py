"""How good a deployed classifier is at several labels a photo: figures, worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.calibration import expected_calibration_error
from pplcnet.multilabel import average_precisions, counts_at, mean_average_precision
from pplcnet.tables import PRESENT, UNKNOWN

__all__ = ["LabelFigures", "LabelMistake", "MultiLabelEvaluation"]


class LabelFigures(NamedTuple):
    """One label's figures, over the photos where it is known; a ratio without denominator is 0."""

    label: str
    images: int
    """Photos that show it."""
    known: int
    """Photos of which it is known whether they do."""
    average_precision: float | None
    """None when no photo shows it."""
    threshold: float
    precision: float
    """This and the following at the threshold."""
    recall: float
    f1: float


class LabelMistake(NamedTuple):
    """One label of one image with the wrong answer."""

    name: str
    label: str
    is_shown: bool
    """The truth."""
    probability: float


@dataclass(frozen=True)
class MultiLabelEvaluation:
    """The result of `evaluate` for several labels a photo."""

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    names: tuple[str, ...]
    """Of the images."""
    probabilities: NDArray[np.float64]
    """(N, labels)"""
    marks: NDArray[np.int8]
    """(N, labels): 1 shown, 0 not shown, -1 unknown."""

    @property
    def images(self) -> int:
        """How many images were evaluated."""
        return len(self.marks)

    @property
    def mean_average_precision(self) -> float:
        """mAP: the mean over the labels that some image shows."""
        return mean_average_precision(self.probabilities, self.marks)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(N, labels): whether the probability reaches the label's threshold."""
        reached: NDArray[np.bool_] = self.probabilities >= np.asarray(self.thresholds)
        return reached

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1, over labels that some image shows."""
        values = [each.f1 for each in self.per_label() if each.images]
        return float(np.mean(values)) if values else 0.0

    @property
    def micro_f1(self) -> float:
        """F1 of all labels of all images together."""
        right, answers, shown = (counts.sum() for counts in counts_at(self.answered, self.marks))
        return float(2 * right / max(answers + shown, 1))

    @property
    def all_right(self) -> float:
        """Part of the images without a wrong answer on any label that is known.

        Images of which nothing is known do not count; 0 when there are no others.
        """
        known = self.marks != UNKNOWN
        wrong = ((self.answered != (self.marks == PRESENT)) & known).any(axis=1)
        return float((~wrong[known.any(axis=1)]).sum() / max(known.any(axis=1).sum(), 1))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error over all known labels of all images, 0 to 1."""
        known = self.marks != UNKNOWN
        return expected_calibration_error(self.probabilities[known], self.marks[known] == PRESENT)

    def per_label(self) -> list[LabelFigures]:
        """Figures of every label."""
        right, answers, shown = counts_at(self.answered, self.marks)
        known = (self.marks != UNKNOWN).sum(axis=0)
        found = average_precisions(self.probabilities, self.marks)
        return [
            LabelFigures(
                label,
                int(shown[at]),
                int(known[at]),
                float(found[at]) if shown[at] else None,
                self.thresholds[at],
                float(right[at] / max(answers[at], 1)),
                float(right[at] / max(shown[at], 1)),
                float(2 * right[at] / max(answers[at] + shown[at], 1)),
            )
            for at, label in enumerate(self.classes)
        ]

    @property
    def mistakes(self) -> list[LabelMistake]:
        """All wrong answers on known labels, the farthest from the truth first."""
        wrong = (self.answered != (self.marks == PRESENT)) & (self.marks != UNKNOWN)
        distance = np.abs(self.probabilities - (self.marks == PRESENT))
        places: Sequence[tuple[int, int]] = [(int(at), int(n)) for at, n in np.argwhere(wrong)]
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
        """The few numbers that stand for the whole."""
        return {
            "images": self.images,
            "map": self.mean_average_precision,
            "macro_f1": self.macro_f1,
            "micro_f1": self.micro_f1,
            "all_right": self.all_right,
            "calibration_error": self.calibration_error,
        }

    def to_dict(self, most_mistakes: int = 50) -> dict[str, Any]:
        """Plain values for JSON, with the `most_mistakes` worst mistakes."""
        return {
            "task": "multi",
            **self.figures(),
            "classes": list(self.classes),
            "per_label": [figures._asdict() for figures in self.per_label()],
            "mistakes": [mistake._asdict() for mistake in self.mistakes[:most_mistakes]],
        }
