"""What a task has to provide for training: the half that needs Keras.

A task's folder has a value of `TaskTraining` in `training.py`, called TRAINING. `training_of` finds
it; the training loop calls what is here and never asks which task it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe

__all__ = ["Distillation", "ImageSize", "Objective", "Targets", "TaskTraining", "View"]

ImageSize = tuple[int, int]
"""Height and width in pixels."""


class Targets(Protocol):
    """What each image of a data set should be answered with, as float32 arrays of one shape (...).

    An array (N, ...) is one; a task whose targets fill the memory reads them on demand. Where they
    are files that are as large as the images, each target is what `TaskTraining.read_target` takes.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class View(Protocol):
    """Shows an image as one step of training sees it: cropped, mirrored, changed in colour."""

    def __call__(
        self,
        image: NDArray[np.uint8],
        target: NDArray[Any],
        size: ImageSize,
        recipe: Recipe,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Pixels (height, width, 3) and target (...), changed together.

        Args:
            image: (H, W, 3) of any size.
            target: one of the task's `Targets`, or what was read of it.
            size: of the result.
            recipe: says what is drawn between which limits.
            generator: where every draw comes from.
        """
        ...


def _network_itself(network: keras.Model) -> keras.Model:
    return network


def _no_change(model: keras.Model, epoch: int) -> None:
    pass


@dataclass(frozen=True)
class Objective:
    """What a step minimises and counts, for `keras.Model.compile`."""

    loss: keras.losses.Loss
    """Of targets (N, ...) and what the trained model returns."""
    metrics: Sequence[keras.metrics.Metric]
    """Their names are columns of history.csv."""
    trained_model: Callable[..., keras.Model] = _network_itself
    """The network to the model that is trained: one around it where the loss takes several of its
    outputs, or more than these. It has one output. A second network is the second argument."""
    begin_epoch: Callable[[keras.Model, int], object] = _no_change
    """Called with the trained model and the number of an epoch (from 0) before its steps, for a
    loss that changes in the course of training; it may assign to the model's variables."""


@dataclass(frozen=True)
class Distillation:
    """How a network learns from another network too."""

    objective: Callable[[Recipe, Dataset], Objective]
    """In place of the task's."""
    target_columns: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
    """Images (N, height, width, 3) to columns (N, C) that follow those of their targets (N, T), or
    None. Several threads call it."""
    has_peer: bool = False
    """Whether a second network is trained beside the first, for the objective to compare."""


def _shape_of_first(targets: Targets, size: ImageSize) -> tuple[int, ...]:
    return np.shape(targets[0])


def _no_distillation(recipe: Recipe, dataset: Dataset, preprocessing: Preprocessing) -> None:
    return None


@dataclass(frozen=True)
class TaskTraining:
    """Everything that training needs of a task."""

    build: Callable[[str, Sequence[str], ImageSize | None, Mapping[str, Any]], keras.Model]
    """A network by its name in the catalog, its classes, its input (None for any size), and the
    options of a manifest's `network`: normalised images (N, H, W, 3) to the task's outputs, in the
    order of `Task.outputs`."""
    targets: Callable[[Dataset], Targets]
    """In the order of the images."""
    view: View
    objective: Callable[[Recipe, Dataset], Objective]
    """For the network, or for its head alone."""
    distillation: Callable[[Recipe, Dataset, Preprocessing], Distillation | None] = _no_distillation
    """None where the recipe asks for none. The preprocessing is that of the network's input."""
    target_shape: Callable[[Targets, ImageSize], tuple[int, ...]] = _shape_of_first
    """Of the target of a view of this size."""
    read_target: Callable[[Any, tuple[int, int]], NDArray[np.uint8]] | None = None
    """For targets that are files: reads one, to lie on a picture of (height, width) pixels. What it
    returns is kept beside the picture, and the view gets it. A function of a module."""
