"""The parts of a report, and the interface of a task's `report.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.metrics.intervals import Interval
from pplcnet.system.wording import counted

__all__ = ["ReportContext", "Score", "Scored", "Section", "TaskReport", "Tile", "mean_over"]


class Tile(NamedTuple):
    """A figure at the top of a page."""

    value: str
    text: str
    note: str = ""


class Section(NamedTuple):
    """A part of a page that the navigation leads to."""

    id: str
    title: str
    """The title in the navigation; the template has its own heading."""
    template: str
    """A file in the `templates/` of the task's package or of `pplcnet.pages`."""
    values: Mapping[str, Any]
    """The template's variables."""


class Score(NamedTuple):
    """The task's measure on some images."""

    images: int
    value: float
    interval: Interval | None
    """95 %; None if there is none, for example with too few images."""


class Scored(Protocol):
    """Answers to a data set's images in a form that can be compared, whatever the task."""

    @property
    def dataset(self) -> Dataset:
        """The N images that were predicted."""
        ...

    def score(self, chosen: NDArray[np.bool_] | None = None) -> Score | None:
        """The score on the images where `chosen` (N,) is true, or on all; None if there is none."""
        ...

    def agreement(self, other: Self) -> float:
        """The share of the images with the same answer, 0 to 1."""
        ...

    def answered_by(self, predictions: Sequence[Any]) -> Self:
        """Another network's answers to the same images."""
        ...


class TaskReport(NamedTuple):
    """A task's part of the report that all tasks share."""

    title: str
    tiles: list[Tile]
    sections: list[Section]
    scored: Scored


@dataclass(frozen=True)
class ReportContext:
    """The input for a task's part of a report."""

    bundle: Bundle
    evaluation: Any
    """What the task's `evaluate` returned for the evaluated images."""
    reported: Dataset
    predictions: Sequence[Any]
    """The task's predictions for the evaluated images, in order."""
    validation: Dataset
    """Images to choose thresholds on; empty if none are known."""
    validation_predictions: Sequence[Any]
    precisions: Sequence[float]
    """The precisions, 0 to 1, for which thresholds are wanted."""
    gradcam: Any = None
    """A `pages.gradcam.GradCam` of the bundle's network, or None."""
    gradcam_missing: str = ""
    """Why there is no Grad-CAM, in one sentence."""

    def title(self, noun: str) -> str:
        """The network and its number of classes, which are called `noun`."""
        network = self.bundle.manifest.network.get("name", "network")
        return f"{network}: {counted(len(self.bundle.classes), noun)}"


def mean_over(images: Sequence[int], noun: str) -> str:
    """A tile's note on the classes that a mean is taken over.

    Args:
        images: the number of each class; the mean leaves out classes without any.
        noun: the word for a class.
    """
    found = sum(map(bool, images))
    if found == len(images):
        return f"mean over all {counted(found, noun)}"
    return f"mean over the {counted(found, noun)} that {'has' if found == 1 else 'have'} photos"
