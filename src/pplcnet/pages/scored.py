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
from pplcnet.tasks.classification.evaluation import Evaluation, evaluate
from pplcnet.tasks.multilabel.evaluation import MultiLabelEvaluation
from pplcnet.tasks.prediction import Prediction, softmax

__all__ = ["Answers", "Recorded", "Score", "Scored", "evaluate_recorded"]


class _Classifier(Protocol):
    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def thresholds(self) -> tuple[float, ...] | None: ...

    def predict_many(self, images: Any) -> Iterator[Prediction]: ...


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

    def answered_by(self, predictions: Sequence[Prediction]) -> Self:
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
    def of(cls, dataset: Dataset, predictions: Sequence[Prediction]) -> Self:
        """From predictions without errors, of a network with one class a photo."""
        classes = tuple(predictions[0].classes)
        place = {label: index for index, label in enumerate(classes)}
        return cls(
            dataset,
            classes,
            np.stack([each.logits for each in predictions]),
            np.array([place[dataset.classes[image.label]] for image in dataset.images]),
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

    def answered_by(self, predictions: Sequence[Prediction]) -> Answers:
        """The same photos as another network answers them."""
        return Answers.of(self.dataset, predictions)


class Recorded(NamedTuple):
    """An evaluation, and the predictions that it was made of, in the order of the data set."""

    evaluation: Evaluation | MultiLabelEvaluation
    predictions: list[Prediction]


def evaluate_recorded(
    classifier: _Classifier,
    dataset: Dataset,
    *,
    progress: Callable[[Iterable[Prediction]], Iterable[Prediction]] = lambda each: each,
) -> Recorded:
    """As `pplcnet.evaluation.evaluate`, keeping every photo's prediction.

    Raises:
        InputError, DatasetError: as `evaluate`.
    """
    recorded: list[Prediction] = []

    def record(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        for prediction in progress(predictions):
            recorded.append(prediction)
            yield prediction

    return Recorded(evaluate(classifier, dataset, progress=record), recorded)
