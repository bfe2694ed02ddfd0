"""A single-label network's answers to the images of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.metrics.intervals import wilson
from pplcnet.pages.section import Score
from pplcnet.tasks.scores import softmax

__all__ = ["ClassAnswers"]


@dataclass(frozen=True)
class ClassAnswers:
    """Logits and labels, one row per image, in the order of the data set."""

    dataset: Dataset
    classes: tuple[str, ...]
    """The network's classes, in the order of its logits."""
    logits: NDArray[np.float32]
    """(N, classes), the network's raw outputs."""
    labels: NDArray[np.intp]
    """(N,) indices into `classes`."""
    temperature: float

    @classmethod
    def of(cls, dataset: Dataset, predictions: Sequence[Any]) -> Self:
        """From predictions without errors, in the order of the data set."""
        classes = tuple(predictions[0].classes)
        return cls(
            dataset,
            classes,
            np.stack([each.logits for each in predictions]),
            np.array([image.shown[0] for image in dataset.with_classes(classes).images]),
            predictions[0].temperature,
        )

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, classes), after temperature scaling."""
        return self.probabilities_at(self.temperature)

    def probabilities_at(self, temperature: float) -> NDArray[np.float64]:
        """(N, classes) with another temperature; 1 leaves the logits as they are."""
        return softmax(self.logits / np.float32(temperature))

    def points_at(self, temperature: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(N,) each: the probability of the answer, and whether it is right."""
        return self.probabilities_at(temperature).max(axis=1), self.is_right

    @cached_property
    def answers(self) -> NDArray[np.intp]:
        """(N,) the most probable class."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def confidences(self) -> NDArray[np.float64]:
        """(N,) the probability of the answer."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """(N,) whether the answer is the label."""
        return np.asarray(self.answers == self.labels)

    def score(self, chosen: NDArray[np.bool_] | None = None) -> Score | None:
        """Top-1 with Wilson's interval, on the images where `chosen` (N,) is true or on all."""
        is_right = self.is_right if chosen is None else self.is_right[chosen]
        if not len(is_right):
            return None
        count, right = len(is_right), int(is_right.sum())
        return Score(count, right / count, wilson(right, count))

    def agreement(self, other: ClassAnswers) -> float:
        """The share of the images that get the same class."""
        return float((self.answers == other.answers).mean())

    def answered_by(self, predictions: Sequence[Any]) -> ClassAnswers:
        """Another network's answers to the same images."""
        return ClassAnswers.of(self.dataset, predictions)
