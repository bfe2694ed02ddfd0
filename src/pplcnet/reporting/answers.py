"""What a network answered to each photo of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pplcnet.dataset import Dataset
from pplcnet.evaluation import Evaluation, evaluate
from pplcnet.prediction import Prediction, softmax

__all__ = ["Answers", "Evaluated", "evaluate_recorded"]


class _Classifier(Protocol):
    @property
    def classes(self) -> tuple[str, ...]: ...

    def predict_many(self, images: Any) -> Iterator[Prediction]: ...


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

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, classes), after temperature scaling."""
        return self.probabilities_at(self.temperature)

    def probabilities_at(self, temperature: float) -> NDArray[np.float64]:
        """(N, classes) with another temperature; 1 leaves the logits as they are."""
        return softmax(self.logits / np.float32(temperature))

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


class Evaluated(NamedTuple):
    """An evaluation, and the answers that it was made of."""

    evaluation: Evaluation
    answers: Answers


def evaluate_recorded(
    classifier: _Classifier,
    dataset: Dataset,
    *,
    progress: Callable[[Iterable[Prediction]], Iterable[Prediction]] = lambda each: each,
) -> Evaluated:
    """As `pplcnet.evaluation.evaluate`, keeping every photo's logits.

    Raises:
        InputError, DatasetError: as `evaluate`.
    """
    recorded: list[Prediction] = []

    def record(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        for prediction in progress(predictions):
            recorded.append(prediction)
            yield prediction

    evaluation = evaluate(classifier, dataset, progress=record)
    place = {label: index for index, label in enumerate(classifier.classes)}
    return Evaluated(
        evaluation,
        Answers(
            dataset,
            classifier.classes,
            np.stack([each.logits for each in recorded]),
            np.array([place[dataset.classes[image.label]] for image in dataset.images]),
            recorded[0].temperature,
        ),
    )
