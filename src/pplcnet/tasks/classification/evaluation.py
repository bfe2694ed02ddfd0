"""How good a deployed classifier is on labelled images: figures, confusion, worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import MULTI, Dataset
from pplcnet.errors import DatasetError, InputError
from pplcnet.metrics.average_precision import marks_of, ratios_of
from pplcnet.metrics.calibration import expected_calibration_error, least_calibration_error
from pplcnet.system.notebook import facts_table
from pplcnet.system.wording import counted
from pplcnet.tasks.multilabel.evaluation import MultiLabelEvaluation
from pplcnet.tasks.prediction import Prediction

__all__ = ["ClassFigures", "Evaluation", "Mistake", "evaluate"]


class _Classifier(Protocol):
    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def thresholds(self) -> tuple[float, ...] | None: ...

    def predict_many(self, images: Any) -> Iterator[Prediction]: ...


class ClassFigures(NamedTuple):
    """One class's figures."""

    label: str
    images: int
    precision: float | None
    """None for a class that is never answered."""
    recall: float | None
    """This and the following None for a class without images."""
    f1: float | None


class Mistake(NamedTuple):
    """One image with another answer than its label."""

    name: str
    label: str
    predicted: str
    probability: float
    """Of the wrong answer."""


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`."""

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(classes, classes) counts: row is the true class, column the answer."""
    top1: float
    top5: float
    """Fraction whose true class is among the five most probable."""
    mistakes: tuple[Mistake, ...]
    """All of them, the most confident first."""
    calibration_error: float
    """Expected calibration error: how far probabilities and accuracy are apart, 0 to 1."""
    least_calibration_error: float
    """A perfectly calibrated model's error with this many images."""

    def __repr__(self) -> str:
        return (
            f"<Evaluation {self.top1:.4f} top-1 on {counted(self.images, 'image')}, "
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
        """How many images were evaluated."""
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
        """The mean of the classes' F1, over classes that have images."""
        values = [figures.f1 for figures in self.per_class() if figures.f1 is not None]
        return float(np.mean(values))

    def figures(self) -> dict[str, Any]:
        """The few numbers that stand for the whole."""
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


def evaluate(
    classifier: _Classifier,
    dataset: Dataset,
    *,
    progress: Callable[[Iterable[Prediction]], Iterable[Prediction]] = lambda each: each,
) -> Evaluation | MultiLabelEvaluation:
    """Classify every image of a data set the deployed way, and compare with its labels.

    Args:
        classifier: a `pplcnet.Classifier`.
        dataset: its class names must be among the classifier's; the order may differ. Of several
            labels per photo, one that the data set does not have counts as unknown.
        progress: wraps the predictions, for a progress bar.

    Raises:
        InputError: the data set has classes that the classifier does not know, or one label a photo
            where the classifier gives several, or the other way round.
        DatasetError: images that cannot be read; all of them are named.
    """
    _check(classifier, dataset)
    predictions = progress(classifier.predict_many(image.path for image in dataset.images))
    if classifier.thresholds is not None:
        return _of_several_labels(classifier, classifier.thresholds, dataset, predictions)
    return _of_one_label(classifier, dataset, predictions)


def _check(classifier: _Classifier, dataset: Dataset) -> None:
    if (dataset.task == MULTI) != (classifier.thresholds is not None):
        is_multi = classifier.thresholds is not None
        raise InputError(
            f"{dataset.root}: the photos have {'one label' if is_multi else 'several labels'} "
            f"each, and the bundle was trained on {'several' if is_multi else 'one'}; give photos "
            "labelled as those of the training."
        )
    unknown = sorted(set(dataset.classes) - set(classifier.classes))
    if unknown:
        raise InputError(
            f"the data set has classes that the bundle was not trained on: {', '.join(unknown)}; "
            f"the bundle knows {', '.join(classifier.classes)}."
        )
    if not len(dataset):
        raise DatasetError(f"{dataset.root}: no images to evaluate.")


def _raise_unreadable(dataset: Dataset, unreadable: list[str]) -> None:
    if unreadable:
        count = len(unreadable)
        raise DatasetError(
            f"{dataset.root}: {count} image{'s' * (count > 1)} cannot be evaluated; fix them, or "
            "leave them out with --skip-broken:",
            unreadable,
        )


def _of_several_labels(
    classifier: _Classifier,
    thresholds: tuple[float, ...],
    dataset: Dataset,
    predictions: Iterable[Prediction],
) -> MultiLabelEvaluation:
    shape = (len(dataset), len(classifier.classes))
    probabilities, unreadable = np.zeros(shape), []
    for at, prediction in enumerate(predictions):
        if prediction.error is not None:
            unreadable.append(str(prediction.error))
        else:
            probabilities[at] = prediction.probabilities
    _raise_unreadable(dataset, unreadable)
    marks = marks_of(dataset, classifier.classes)
    names = tuple(dataset.name_of(image) for image in dataset.images)
    return MultiLabelEvaluation(classifier.classes, thresholds, names, probabilities, marks)


def _of_one_label(
    classifier: _Classifier, dataset: Dataset, predictions: Iterable[Prediction]
) -> Evaluation:
    place = {label: index for index, label in enumerate(classifier.classes)}
    confusion = np.zeros((len(classifier.classes),) * 2, np.int64)
    mistakes, unreadable, in_top5 = [], [], 0
    confidences, is_right = [], []
    for image, prediction in zip(dataset.images, predictions, strict=True):
        if prediction.error is not None:
            unreadable.append(str(prediction.error))
            continue
        label = dataset.classes[image.label]
        best = prediction.top(5)
        confusion[place[label], best[0].class_index] += 1
        in_top5 += any(score.label == label for score in best)
        confidences.append(best[0].probability)
        is_right.append(best[0].label == label)
        if best[0].label != label:
            name = dataset.name_of(image)
            mistakes.append(Mistake(name, label, best[0].label, best[0].probability))
    _raise_unreadable(dataset, unreadable)
    return Evaluation(
        classes=classifier.classes,
        confusion=confusion,
        top1=float(np.trace(confusion) / len(dataset)),
        top5=in_top5 / len(dataset),
        mistakes=tuple(sorted(mistakes, key=lambda each: -each.probability)),
        calibration_error=expected_calibration_error(
            np.asarray(confidences), np.asarray(is_right, bool)
        ),
        least_calibration_error=least_calibration_error(np.asarray(confidences)),
    )
