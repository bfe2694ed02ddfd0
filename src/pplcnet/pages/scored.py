"""What a network answered to each photo of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.metrics.intervals import Interval, wilson
from pplcnet.tasks.evaluate import Predictor, evaluate
from pplcnet.tasks.scores import ScoredPrediction, softmax
from pplcnet.tasks.task import Evaluation

__all__ = ["Answers", "EvaluatedPredictions", "Score", "Scored", "evaluate_and_keep"]


class Score(NamedTuple):
    """How good answers to some photos are."""

    photos: int
    value: float
    """Top-1, or the mAP of a multi-label network."""
    interval: Interval | None
    """None where too few photos are there for one."""


class Scored(Protocol):
    """Answers to photos of one class or of several labels, as far as a page treats them alike."""

    @property
    def dataset(self) -> Dataset: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def temperature(self) -> float: ...

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, classes)"""

    def points_at(self, temperature: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Probabilities (M,) that a temperature gives, and whether what they are for is so."""

    def score(self, chosen: NDArray[np.bool_] | None = None) -> Score | None:
        """On the photos where `chosen` (N,) is true, or on all; None where nothing is to score."""

    def agreement(self, other: Self) -> float:
        """The part of the photos with the same answer."""

    def answered_by(self, predictions: Sequence[Any]) -> Self:
        """The same photos as another network answers them."""


@dataclass(frozen=True)
class Answers:
    """Logits beside labels, a row a photo, in the order of the data set."""

    dataset: Dataset
    classes: tuple[str, ...]
    """The network's, in the order of its logits."""
    logits: NDArray[np.float32]
    """(N, classes), as the network gives them."""
    labels: NDArray[np.intp]
    """(N,) indices into `classes`."""
    temperature: float

    @classmethod
    def of(cls, dataset: Dataset, predictions: Sequence[Any]) -> Self:
        """From predictions without errors, of a network with one class a photo."""
        classes = tuple(predictions[0].classes)
        place = {label: index for index, label in enumerate(classes)}
        return cls(
            dataset,
            classes,
            np.stack([each.logits for each in predictions]),
            np.array([place[dataset.classes[image.shown[0]]] for image in dataset.images]),
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
        """Of every photo: the probability of the answer, and whether it is right."""
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
        """Top-1 with Wilson's interval on the photos where `chosen` (N,) is true, or on all."""
        is_right = self.is_right if chosen is None else self.is_right[chosen]
        if not len(is_right):
            return None
        count, right = len(is_right), int(is_right.sum())
        return Score(count, right / count, wilson(right, count))

    def agreement(self, other: Answers) -> float:
        """The part of the photos with the same class."""
        return float((self.answers == other.answers).mean())

    def answered_by(self, predictions: Sequence[Any]) -> Answers:
        """The same photos as another network answers them."""
        return Answers.of(self.dataset, predictions)


class EvaluatedPredictions(NamedTuple):
    """An evaluation, and the predictions that it was made of, in the order of the data set."""

    evaluation: Evaluation
    predictions: list[ScoredPrediction]


def evaluate_and_keep(
    model: Predictor,
    dataset: Dataset,
    *,
    progress: Callable[[Iterable[ScoredPrediction]], Iterable[ScoredPrediction]] = lambda each: (
        each
    ),
) -> EvaluatedPredictions:
    """As `pplcnet.evaluate`, keeping every photo's prediction.

    Raises:
        InputError, DatasetError: as `evaluate`.
    """
    recorded: list[ScoredPrediction] = []

    def record(predictions: Iterable[ScoredPrediction]) -> Iterator[ScoredPrediction]:
        for prediction in progress(predictions):
            recorded.append(prediction)
            yield prediction

    return EvaluatedPredictions(evaluate(model, dataset, progress=record), recorded)
