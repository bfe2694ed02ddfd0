"""evaluate: predict every labelled image as in deployment, and compare with the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import DatasetError, InputError
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.tasks.task import Evaluation, P, Task

__all__ = ["EvaluatedPredictions", "Predictor", "check_task", "evaluate", "evaluate_and_keep"]


class Predictor(Protocol):
    """A bundle that predicts, such as `pplcnet.Model`."""

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        ...

    def predict_many(self, images: Any) -> Iterator[Any]:
        """A prediction for each image, in order."""
        ...


def evaluate(
    model: Predictor,
    dataset: Dataset,
    *,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = lambda each: each,
) -> Evaluation:
    """Predict every image of a data set as in deployment, and compare with the labels.

    Args:
        model: a `pplcnet.Model`, such as a `pplcnet.Classifier`.
        dataset: its class names must be among the bundle's; the order may differ. For multi-label
            data, a label that the data set does not have counts as unknown.
        progress: wraps the predictions, for a progress bar.

    Raises:
        InputError: the data set is labelled for another task, or has classes that the bundle was
            not trained on; or `dataset` is not a data set.
        DatasetError: images that cannot be read; all of them are named.
    """
    if not isinstance(dataset, Dataset):
        raise InputError(
            f"dataset is {dataset!r:.80}; it must be a data set, as pplcnet.Dataset.open gives it."
        )
    task = find(model.manifest.task)
    check_task(dataset, task, f"{dataset.place}: the photos have")
    unknown = sorted(set(dataset.classes) - set(model.manifest.classes))
    if unknown:
        raise InputError(
            f"the data set has classes that the bundle was not trained on: {', '.join(unknown)}; "
            f"the bundle knows {', '.join(model.manifest.classes)}."
        )
    if not len(dataset):
        raise DatasetError(f"{dataset.place}: no images to evaluate.")
    dataset = dataset.with_classes(model.manifest.classes)
    predictions = progress(model.predict_many(image.path for image in dataset.images))
    return task.evaluate(model.manifest, dataset, _readable(dataset, predictions))


class EvaluatedPredictions(NamedTuple):
    """An evaluation and the predictions behind it, in the order of the data set."""

    evaluation: Evaluation
    predictions: list[Any]


def evaluate_and_keep(
    model: Predictor,
    dataset: Dataset,
    *,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = lambda each: each,
) -> EvaluatedPredictions:
    """Like `evaluate`, but also keep every prediction, in little memory (`Prediction.kept`).

    Raises:
        InputError, DatasetError: as `evaluate`.
    """
    kept: list[Any] = []

    def keep(predictions: Iterable[Any]) -> Iterator[Any]:
        for prediction in progress(predictions):
            kept.append(prediction.kept())
            yield prediction

    return EvaluatedPredictions(evaluate(model, dataset, progress=keep), kept)


def check_task(dataset: Dataset, task: Task[Any], photos_have: str) -> None:
    """Raise InputError if a data set is labelled for another task than the bundle's."""
    if dataset.task != task.name:
        raise InputError(
            f"{photos_have} {find(dataset.task).title}, but the bundle was trained on photos with "
            f"{task.title}; give photos labelled like the training photos."
        )


def _readable(dataset: Dataset, predictions: Iterable[P]) -> Iterator[tuple[LabelledImage, P]]:
    """The images with their predictions; DatasetError at the end if some have none."""
    unreadable: list[str] = []
    for image, prediction in zip(dataset.images, predictions, strict=True):
        if prediction.error is None:
            yield image, prediction
        else:
            unreadable.append(str(prediction.error))
    if unreadable:
        raise DatasetError(
            f"{dataset.place}: {counted(len(unreadable), 'image')} cannot be evaluated; fix "
            "them, or leave them out with --skip-broken:",
            unreadable,
        )
