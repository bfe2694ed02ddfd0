"""A multi-label network's answers to the images of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import PRESENT, UNKNOWN
from pplcnet.data.dataset import Dataset
from pplcnet.pages.section import Score
from pplcnet.tasks.multilabel.figures import map_interval
from pplcnet.tasks.multilabel.measures import marks_of, mean_average_precision
from pplcnet.tasks.scores import sigmoid

__all__ = ["LabelAnswers"]


@dataclass(frozen=True)
class LabelAnswers:
    """Logits and marks, one row per image, in the order of the data set."""

    dataset: Dataset
    classes: tuple[str, ...]
    """The network's labels, in the order of its logits."""
    logits: NDArray[np.float32]
    """(N, labels), the network's raw outputs."""
    marks: NDArray[np.int8]
    """(N, labels): 1 shown, 0 not shown, -1 unknown."""
    thresholds: NDArray[np.float64]
    """(labels,) the probability from which each label is predicted."""
    temperature: float

    @classmethod
    def of(cls, dataset: Dataset, predictions: Sequence[Any]) -> Self:
        """From predictions without errors, in the order of the data set."""
        classes = tuple(predictions[0].classes)
        return cls(
            dataset,
            classes,
            np.stack([each.logits for each in predictions]),
            marks_of(dataset.with_classes(classes).images, len(classes)),
            np.asarray(predictions[0].thresholds, np.float64),
            predictions[0].temperature,
        )

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, labels), after temperature scaling."""
        return self.probabilities_at(self.temperature)

    def probabilities_at(self, temperature: float) -> NDArray[np.float64]:
        """(N, labels) with another temperature; 1 leaves the logits as they are."""
        return sigmoid(self.logits / np.float32(temperature))

    def points_at(self, temperature: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(M,) each, over all known labels of all images: probability, and whether it is shown."""
        return self.probabilities_at(temperature)[self.is_known], self.is_shown[self.is_known]

    @cached_property
    def is_known(self) -> NDArray[np.bool_]:
        """(N, labels) whether it is known if the image shows the label."""
        return np.asarray(self.marks != UNKNOWN)

    @cached_property
    def is_shown(self) -> NDArray[np.bool_]:
        """(N, labels) whether the image is known to show the label."""
        return np.asarray(self.marks == PRESENT)

    @cached_property
    def is_predicted(self) -> NDArray[np.bool_]:
        """(N, labels) whether the probability reaches the label's threshold."""
        return np.asarray(self.probabilities >= self.thresholds)

    @cached_property
    def is_wrong(self) -> NDArray[np.bool_]:
        """(N, labels) whether the label is known and the answer is wrong."""
        return np.asarray(self.is_known & (self.is_predicted != self.is_shown))

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """(N, labels) distance from the threshold, in temperature-scaled logits; negative below."""
        chances = np.clip(self.thresholds, 1e-15, 1 - 1e-15)
        scaled = np.log(chances / (1 - chances))
        return np.asarray(self.logits / self.temperature - scaled, np.float64)

    @property
    def images_right(self) -> tuple[int, int]:
        """(images with every known label right, images with a known label)."""
        is_counted = self.is_known.any(axis=1)
        wrong = int(self.is_wrong.any(axis=1).sum())
        return int(is_counted.sum()) - wrong, int(is_counted.sum())

    def score(self, chosen: NDArray[np.bool_] | None = None) -> Score | None:
        """mAP with its interval, on the images where `chosen` (N,) is true or on all.

        None if no image shows a label.
        """
        places = np.arange(len(self.marks)) if chosen is None else np.flatnonzero(chosen)
        probabilities, marks = self.probabilities[places], self.marks[places]
        if not (marks == PRESENT).any():
            return None
        value = mean_average_precision(probabilities, marks)
        return Score(len(places), value, map_interval(probabilities, marks))

    def agreement(self, other: LabelAnswers) -> float:
        """The share of the images that get the same set of labels."""
        return float((self.is_predicted == other.is_predicted).all(axis=1).mean())

    def answered_by(self, predictions: Sequence[Any]) -> LabelAnswers:
        """Another network's answers to the same images."""
        logits = np.stack([each.logits for each in predictions])
        return replace(self, logits=logits, temperature=predictions[0].temperature)
