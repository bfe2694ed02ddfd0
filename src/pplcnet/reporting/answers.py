"""What a network answered to each photo of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.dataset import Dataset
from pplcnet.evaluation import Evaluation, evaluate
from pplcnet.multilabel_evaluation import MultiLabelEvaluation
from pplcnet.prediction import Prediction, softmax

__all__ = ["Answers", "Recorded", "evaluate_recorded"]


class _Classifier(Protocol):
    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def thresholds(self) -> tuple[float, ...] | None: ...

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
