"""What a task has to provide for training: the half that needs Keras.

A task's folder has a value of `TaskTraining` called TRAINING in its `training.py`. `training_of`
finds it; the training loop uses only what is defined here and never asks which task it has.
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
    """The desired output for each image of a data set, as float32 arrays of one shape (...).

    An array (N, ...) will do; a task whose targets would fill the memory reads them on demand. If
    they are files as large as the images, each target is what `TaskTraining.read_target` takes.
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
        """The view's pixels (height, width, 3) and target (...), transformed together.

        Args:
            image: (H, W, 3) of any size.
            target: one of the task's `Targets`, or what `TaskTraining.read_target` made of it.
            size: the view's size.
            recipe: sets the limits of what is drawn.
            generator: the source of all random draws.
        """
        ...


def _network_itself(network: keras.Model) -> keras.Model:
    return network


def _no_change(model: keras.Model, epoch: int) -> None:
    pass


@dataclass(frozen=True)
class Objective:
    """What a training step minimises and counts, for `keras.Model.compile`."""

    loss: keras.losses.Loss
    """Takes targets (N, ...) and the output of the trained model."""
    metrics: Sequence[keras.metrics.Metric]
    """Their names are columns of history.csv."""
    trained_model: Callable[..., keras.Model] = _network_itself
    """From the network to the model that is trained: a wrapper where the loss takes several of its
    outputs, or more than these. It has one output. A second network is the second argument."""
    begin_epoch: Callable[[keras.Model, int], object] = _no_change
    """Called before each epoch's steps with the trained model and the epoch's number (from 0), for
    a loss that changes during training; it may assign to the model's variables."""


@dataclass(frozen=True)
class Distillation:
    """How a network also learns from another network."""

    objective: Callable[[Recipe, Dataset], Objective]
    """Replaces the task's objective."""
    target_columns: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
    """From images (N, height, width, 3) to columns (N, C) to append to their targets (N, T), or
    None. Called from several threads."""
    has_peer: bool = False
    """Whether a second network is trained alongside the first, for the objective to compare."""


def _shape_of_first(targets: Targets, size: ImageSize) -> tuple[int, ...]:
    return np.shape(targets[0])


def _no_distillation(recipe: Recipe, dataset: Dataset, preprocessing: Preprocessing) -> None:
    return None


@dataclass(frozen=True)
class TaskTraining:
    """Everything that training needs from a task."""

    build: Callable[[str, Sequence[str], ImageSize | None, Mapping[str, Any]], keras.Model]
    """Builds a network from its name in the catalog, its classes, its input size (None for any) and
    the options of a manifest's `network`: normalised images (N, H, W, 3) to the task's outputs, in
    the order of `Task.outputs`."""
    targets: Callable[[Dataset], Targets]
    """In the order of the images."""
    view: View
    objective: Callable[[Recipe, Dataset], Objective]
    """For the whole network, or for its head alone."""
    distillation: Callable[[Recipe, Dataset, Preprocessing], Distillation | None] = _no_distillation
    """None if the recipe asks for none. The preprocessing is that of the network's input."""
    target_shape: Callable[[Targets, ImageSize], tuple[int, ...]] = _shape_of_first
    """The shape of the target of a view of this size."""
    read_target: Callable[[Any, tuple[int, int]], NDArray[np.uint8]] | None = None
    """For targets that are files: reads one to fit a picture of (height, width) pixels. The result
    is kept beside the picture and passed to the view. It is a module-level function."""
