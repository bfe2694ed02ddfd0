"""What a task has to provide: the half that needs no Keras.

A task is a folder beside this file, with a value of `Task` in its `task.py`. Code outside `tasks/`
uses only what is defined here and never asks which task it has. `task_training.py` describes the
half that needs Keras, `pplcnet.pages.section` the part that makes a report.

This file is longer than others because it is all that shared code knows about a task.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ImageError
from pplcnet.imaging.geometry import Geometry

if TYPE_CHECKING:  # not needed by a process that only predicts
    from PIL import Image

    from pplcnet.data.annotations import Annotation
    from pplcnet.data.audit import Fault
    from pplcnet.data.dataset import Dataset, LabelledImage
    from pplcnet.imaging.decoding import ImageSource

__all__ = [
    "EMBEDDING",
    "Calibrated",
    "Decoder",
    "Drop",
    "Evaluation",
    "Judge",
    "Judged",
    "Measure",
    "Outputs",
    "Plot",
    "Prediction",
    "Table",
    "Task",
]

STRANGE = 0.02
EMBEDDING = "embedding"
"""The name of the embedding output that an exported network has besides its task's outputs."""
Outputs = Mapping[str, NDArray[np.float32]]
"""A network's outputs: name to array, whose first axis is the images."""


class Measure(NamedTuple):
    """The one figure that a task is judged by: 0 to 1, higher is better."""

    key: str
    """"top1", "map": in manifests, JSON and history.csv (`validation_<key>`)."""
    title: str
    """"top-1", "mAP": in messages and on pages."""
    is_share: bool
    """Whether it is a share of the images, to be given in per cent."""
    of_steps: Mapping[str, str] = MappingProxyType({})
    """Readable titles for the metrics that training steps count, by metric name."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network predicts for one image, or why there is no prediction.

    For an image that could not be read, `error` is set, and every other attribute raises it, so a
    missing answer is never mistaken for one.
    """

    source: str
    """The image's path, or a description of the input."""
    error: ImageError | None = None
    typicality: float | None = field(default=None, kw_only=True)
    """How typical the image is of the training images: the share of validation images that are no
    more typical, above 0 and at most 1. None if the bundle does not know."""

    columns: ClassVar[tuple[str, ...]] = ()
    """The keys of every row: "label" is a text, all others are numbers."""
    can_be_drawn: ClassVar[bool] = False
    """Whether `draw` is supported."""
    can_be_tiled: ClassVar[bool] = False
    """Whether predictions for parts of an image can be merged into one for the whole."""
    file_ending: ClassVar[str] = ""
    """The ending of the files that `write` makes; "" where there is nothing to write."""

    @property
    def is_strange(self) -> bool:
        """Whether the image is unlike anything that the network was trained on.

        Of images like the training images, 1 in 50 is called strange as well.
        """
        return self.typicality is not None and self.typicality <= STRANGE

    def facts(self) -> dict[str, Any]:
        """Facts about the image as a whole, in addition to the rows, for JSON."""
        if self.typicality is None:
            return {}
        return {"typicality": round(self.typicality, 6), "is_strange": self.is_strange}

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """The answers, one row each, the most confident first, for JSON and CSV.

        Args:
            most: maximum number of rows; None for what counts as an answer.
        """
        raise NotImplementedError

    def to_text(self, most: int | None = None) -> str:
        """The answers in one line."""
        raise NotImplementedError

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Results for programs, in addition to the network's raw outputs: name to array.

        Numbers (float32, uint8, int32, int64) or texts (str), in the same shapes for every image.
        """
        return {}

    def kept(self) -> Self:
        """The same prediction in less memory, so that many can be kept."""
        return self

    def photo(self, given: ImageSource | None = None) -> ImageSource:
        """The predicted image: the given one, else the file that `source` names.

        Raises:
            ImageError: nothing is given, and `source` is not a file.
        """
        if given is not None:
            return given
        if not os.path.exists(self.source):
            raise ImageError(self.source, "is not a file; give the photo that was predicted.")
        return self.source

    def draw(self, photo: ImageSource | None = None) -> Image.Image:
        """The upright photo with the answers drawn on it.

        Args:
            photo: the predicted image; None if `source` is its path.

        Raises:
            ImageError: the photo cannot be used.
            NotImplementedError: there is nothing to draw (`can_be_drawn`).
        """
        raise NotImplementedError

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the answer as a file of the type `file_ending`.

        Raises:
            OSError: the file cannot be written.
            NotImplementedError: there is nothing to write.
        """
        raise NotImplementedError

    def evidence(self) -> NDArray[np.float64] | None:
        """The log-odds of each class, (classes,) float64; None for a task without one per class."""
        return None


P = TypeVar("P", bound=Prediction)
P_co = TypeVar("P_co", bound=Prediction, covariant=True)


class Decoder(Protocol[P_co]):
    """Turns a network's outputs for one image into a prediction."""

    def __call__(self, outputs: Outputs, geometry: Geometry, source: str) -> P_co:
        """The prediction.

        Args:
            outputs: of one image, without the axis of the images.
            geometry: where the network's input lies in the image.
            source: the image's path, or a description of the input.
        """
        ...


class Drop(NamedTuple):
    """How much worse one network is than another."""

    amount: float
    """0 to 1; negative if it is better, NaN if an output is NaN."""
    of: str
    """The measure that fell, for messages: "top-1", "mAP"."""


class Judged(Protocol):
    """A network's outputs for a judge's images, scored against the labels."""

    @property
    def value(self) -> float:
        """The task's measure; NaN when an output is NaN."""
        ...

    @property
    def loss(self) -> float:
        """Decides between epochs of equal value: lower is better."""
        ...

    @property
    def each(self) -> list[float]:
        """How right the answer to each image is, 0 to 1."""
        ...

    def drop(self, reference: Self) -> Drop:
        """How much worse these outputs are than the reference's."""
        ...

    def agreement(self, other: Self) -> float:
        """The share of the images with the same answer."""
        ...


class Judge(Protocol):
    """Scores outputs against labelled images: to choose epochs, and to guard INT8 and tuning."""

    def judged(self, outputs: Iterable[Outputs]) -> Judged:
        """Score a network's outputs.

        They come in batches, in the order of the images, and each batch is released before the next
        is requested: those of all images may not fit into memory. If the judge has no images, the
        result supports only `agreement`.
        """
        ...

    def of_some(self, chosen: Sequence[int]) -> Self:
        """A judge of some of the images, given by index."""
        ...


class Table(NamedTuple):
    """A CSV file of an evaluation."""

    name: str
    """"per_class.csv" """
    header: Sequence[str]
    rows: Iterable[Sequence[object]]


class Plot(NamedTuple):
    """An image file of an evaluation."""

    name: str
    """"confusion.png" """
    title: str
    """What the plot shows: "confusion matrix"."""


class Evaluation(Protocol):
    """How good a network is on labelled images."""

    @property
    def images(self) -> int:
        """How many images were evaluated."""
        ...

    @property
    def plot(self) -> Plot:
        """The plot that `draw` makes."""
        ...

    def figures(self) -> dict[str, Any]:
        """The summary figures, by key; None for one that is undefined."""
        ...

    def headline(self) -> str:
        """The most important figures in words: "0.8712 top-1, 0.9903 top-5"."""
        ...

    def weakness(self) -> str:
        """A sentence on why this is no better than guessing; "" where it is better."""
        ...

    def to_dict(self, most_mistakes: int = 50) -> dict[str, Any]:
        """Plain values for JSON, with the `most_mistakes` worst mistakes."""
        ...

    def tables(self) -> list[Table]:
        """The CSV files."""
        ...

    def to_text(self, mistakes: int = 5) -> str:
        """The figures for a terminal, with the worst mistakes."""
        ...

    def draw(self, path: Path, title: str = "") -> None:
        """The figures as one PNG; `title` says what was evaluated.

        Raises:
            MissingDependencyError: Matplotlib is not installed.
        """
        ...


class Calibrated(NamedTuple):
    """The result of calibrating on validation images."""

    decoding: Mapping[str, Any]
    """Entries of the manifest's `decoding`."""
    facts: Mapping[str, Any]
    """For the manifest's `calibration`: what it was fitted on and how much it helped."""
    changes_answers: bool
    """Whether it changes answers, not only probabilities."""


@dataclass(frozen=True)
class Task(Generic[P]):
    """Everything that the runtime, evaluation and the guards need from a task."""

    name: str
    """The folder's name, as in manifests."""
    title: str
    """How its images are labelled, for messages: "one class per image"."""
    noun: str
    """What its classes are called: "class" or "label"."""
    measure: Measure
    annotation: type[Annotation]
    prediction: type[P]
    """Called with `source` and `error` alone for an image that cannot be read."""
    faults: Callable[[Dataset], Iterable[Fault]]
    """The faults of its data sets, beyond those that every data set is audited for."""
    notes: Callable[[Dataset], Iterable[str]]
    """Remarks on its data sets that are no reason to stop, one sentence each."""
    outputs: Callable[[Sequence[str], tuple[int, int], str], Mapping[str, tuple[int, ...]]]
    """From the classes, the input's (height, width) and the network's name in the catalog to the
    network's outputs: name to shape for one image."""
    decoder: Callable[[Manifest], Decoder[P]]
    judge: Callable[[Manifest, Sequence[LabelledImage]], Judge]
    """Makes a judge of images that are labelled with the manifest's classes."""
    evaluate: Callable[[Manifest, Dataset, Iterable[tuple[LabelledImage, P]]], Evaluation]
    """For a data set with the manifest's classes, and its predictions in order, without errors."""
    calibrate: Callable[[Manifest, Iterable[Outputs], Sequence[LabelledImage]], Calibrated] | None
    """Takes outputs in batches, as `Judge.judged` does; None for a task without probabilities to
    calibrate."""
    decoding: Sequence[str] = ("temperature",)
    """The entries of a manifest's `decoding` that the decoder uses."""
    head_inputs: Sequence[str] = ()
    """Names of the layers whose outputs feed the head; a network has at least one of them. Some
    ways of quantising keep the head in float; the images decide which layers need that."""
    embedding: str = ""
    """The layer, in Keras and in exported files, whose output (N, D) stands for the whole image;
    "" where there is none. Exported networks have it as the output EMBEDDING."""
    energy: Callable[[Outputs], NDArray[np.float64]] | None = None
    """The negative energy (...) of outputs (..., classes): lower for most images of other things.
    None for a task that cannot say."""
    facts: Callable[[Manifest], Mapping[str, Any]] = lambda _: {}
    """What clients need besides the classes to read the answers; plain values."""
    tolerance: float = 1e-4
    """How far an exported network may differ from Keras, relative to an output's largest value. The
    fused graph computes the same in another order. In float32 that cost less than 1e-5 for every
    classifier of the catalog; ten times that means a fault."""
    max_drop: float = 0.005
    """How far INT8 and tuning may lower what `Judged.drop` compares, by default."""
    outputs_text: str = ""
    """A description of the outputs for an exported file's metadata; "" gives their shapes."""
