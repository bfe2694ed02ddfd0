"""What a task has to provide: the half that needs no Keras.

A task is a folder beside this file, with a value of `Task` in its `task.py`. Everything outside of
`tasks/` calls what is here and never asks which task it has. `task_training.py` describes the half
that needs Keras, `pplcnet.pages.section` that which makes a report.

This file is longer than others because it is all that shared code knows of a task.
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

if TYPE_CHECKING:  # a process that predicts needs none of them
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
"""The output of an exported network that stands for the image, beside those of its task."""
Outputs = Mapping[str, NDArray[np.float32]]
"""What a network answers: output name to array, whose first axis is the image."""


class Measure(NamedTuple):
    """The one figure that a task is judged by, higher is better, 0 to 1."""

    key: str
    """"top1", "map": in manifests, JSON and history.csv (`validation_<key>`)."""
    title: str
    """"top-1", "mAP": in messages and on pages."""
    is_share: bool
    """Whether it is a share of the images, to be given in per cent."""
    of_steps: Mapping[str, str] = MappingProxyType({})
    """What a person is told instead of the name of a metric that a step of training counts."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network predicts for one image, or why there is no prediction.

    For an image that could not be read, `error` is set, and every other attribute raises it, so a
    missing answer is never mistaken for one.
    """

    source: str
    """The image's path, or a description of what was given."""
    error: ImageError | None = None
    typicality: float | None = field(default=None, kw_only=True)
    """How typical the image is of the training images: the share of validation images that are no
    more typical, above 0 and at most 1. None if the bundle does not know."""

    columns: ClassVar[tuple[str, ...]] = ()
    """The keys of every row: "label" is a text, all others are numbers."""
    can_be_drawn: ClassVar[bool] = False
    """Whether `draw` shows it in the photo."""
    can_be_tiled: ClassVar[bool] = False
    """Whether predictions of an image's parts can be merged to one of the image."""
    file_ending: ClassVar[str] = ""
    """Of the files that `write` makes; "" where there is nothing to write."""

    @property
    def is_strange(self) -> bool:
        """Whether the image is unlike anything that the network was trained on.

        Of images like the training images, 1 in 50 is called strange as well.
        """
        return self.typicality is not None and self.typicality <= STRANGE

    def facts(self) -> dict[str, Any]:
        """What is known of the image as a whole, beside the rows, for JSON."""
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
        """The same in one line."""
        raise NotImplementedError

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a program is told beside the network's outputs, by name.

        Numbers (float32, uint8, int32, int64) or texts (str), in the same shapes for every image.
        """
        return {}

    def kept(self) -> Self:
        """The same prediction in less memory, for keeping those of many images."""
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
        """How strongly the image speaks for each class, (classes,) log-odds.

        None where a task has no one number for each class.
        """
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
            source: the image's path, or a description of what was given.
        """
        ...


class Drop(NamedTuple):
    """How much worse one network is than another."""

    amount: float
    """0 to 1, negative where it is better; NaN when an output is."""
    of: str
    """What fell, for messages: "top-1", "mAP"."""


class Judged(Protocol):
    """How good a network's outputs for the images of a judge are: what is kept of them."""

    @property
    def value(self) -> float:
        """The task's measure; NaN when an output is NaN."""
        ...

    @property
    def loss(self) -> float:
        """Which of two epochs with equal values is better: the lower."""
        ...

    @property
    def each(self) -> list[float]:
        """How right the answer to every image is, 0 to 1."""
        ...

    def drop(self, reference: Self) -> Drop:
        """How much worse than the reference."""
        ...

    def agreement(self, other: Self) -> float:
        """The share of the images with the same answer."""
        ...


class Judge(Protocol):
    """Labelled images as a measure of outputs: chooses epochs, guards INT8 and tuning."""

    def judged(self, outputs: Iterable[Outputs]) -> Judged:
        """What the outputs are worth.

        They come a few images at a time, in the order of the images, and each part is let go before
        the next is asked for: those of all images may not fit into memory. Of a judge without
        images, only `agreement` can be asked.
        """
        ...

    def of_some(self, chosen: Sequence[int]) -> Self:
        """The same for some of the images, by their places."""
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
    """What it shows: "confusion matrix"."""


class Evaluation(Protocol):
    """How good a network is on labelled images."""

    @property
    def images(self) -> int:
        """How many images were evaluated."""
        ...

    @property
    def plot(self) -> Plot:
        """What `draw` draws."""
        ...

    def figures(self) -> dict[str, Any]:
        """The few numbers that stand for the whole, by key; None for one that is not defined."""
        ...

    def headline(self) -> str:
        """The most important of them in words: "0.8712 top-1, 0.9903 top-5"."""
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
        """The figures as one PNG; `title` is what the evaluation is of.

        Raises:
            MissingDependencyError: Matplotlib is not installed.
        """
        ...


class Calibrated(NamedTuple):
    """What was fitted on validation images so that probabilities mean what they say."""

    decoding: Mapping[str, Any]
    """Entries of the manifest's `decoding`."""
    facts: Mapping[str, Any]
    """For the manifest's `calibration`: what it was fitted on and how far it helped."""
    changes_answers: bool
    """Whether answers, not only probabilities, change with it."""


@dataclass(frozen=True)
class Task(Generic[P]):
    """Everything that the runtime, evaluation and the guards need of a task."""

    name: str
    """The folder's name; in manifests."""
    title: str
    """What its images are labelled with, for messages: "one class per image"."""
    noun: str
    """What its classes are called: "class" or "label"."""
    measure: Measure
    annotation: type[Annotation]
    prediction: type[P]
    """Made with `source` and `error` alone for an image that cannot be read."""
    faults: Callable[[Dataset], Iterable[Fault]]
    """What makes its data sets unfit, beyond what every data set is audited for."""
    notes: Callable[[Dataset], Iterable[str]]
    """What is worth knowing of its data sets and no reason to stop, a sentence each."""
    outputs: Callable[[Sequence[str], tuple[int, int], str], Mapping[str, tuple[int, ...]]]
    """Of the classes, the input's (height, width) and the network's name in the catalog: the
    network's outputs by name, each with its shape for one image."""
    decoder: Callable[[Manifest], Decoder[P]]
    judge: Callable[[Manifest, Sequence[LabelledImage]], Judge]
    """For images with the manifest's classes."""
    evaluate: Callable[[Manifest, Dataset, Iterable[tuple[LabelledImage, P]]], Evaluation]
    """For a data set with the manifest's classes; predictions without errors, in its order."""
    calibrate: Callable[[Manifest, Iterable[Outputs], Sequence[LabelledImage]], Calibrated] | None
    """Of outputs that come a few images at a time, as for `Judge.judged`; None for a task without
    probabilities to calibrate."""
    decoding: Sequence[str] = ("temperature",)
    """Names of what the decoder uses of a manifest's `decoding`."""
    head_inputs: Sequence[str] = ()
    """Names of the layers whose outputs the head takes, of which a network has at least one. Some
    ways of quantising leave the head in float; which layers have to stay so, the images decide."""
    embedding: str = ""
    """The layer, in Keras and in exported files, whose output (N, D) stands for the whole image;
    "" where there is none. Networks are exported with it as an output of the name EMBEDDING."""
    energy: Callable[[Outputs], NDArray[np.float64]] | None = None
    """How strongly the outputs speak for anything at all, whatever it is, (...) of (..., classes):
    lower for most images of other things. None for a task that cannot say."""
    facts: Callable[[Manifest], Mapping[str, Any]] = lambda _: {}
    """What a client must know beside the classes to read the answers; plain values."""
    tolerance: float = 1e-4
    """How far an exported network may differ from Keras, relative to an output's largest value. The
    fused graph computes the same in another order. What that costs in float32 was below 1e-5 for
    every classifier of the catalog; ten times that means a fault."""
    max_drop: float = 0.005
    """How far INT8 and tuning may lower what `Judged.drop` compares, if nothing else is asked."""
    outputs_text: str = ""
    """What the outputs are, in the metadata of an exported file; "" gives their shapes."""
