"""Validation: the loss and the task's measure of a network on images it does not learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks.task import Judge, Outputs

__all__ = ["Score", "Validation", "named_outputs"]

BATCH_SIZE = 64
# Fewer if the images are larger, to save memory.
MOST_PIXELS = BATCH_SIZE * 320 * 320


class Score(NamedTuple):
    """A network's score on validation images."""

    value: float
    """The task's measure; higher is better."""
    loss: float

    def is_better_than(self, other: Score) -> bool:
        """Whether the measure is higher, or equal with a lower loss."""
        return (self.value, -self.loss) > (other.value, -other.loss)


@dataclass(frozen=True)
class Validation:
    """Validation images, and the judge of a model's outputs for them."""

    model: keras.Model
    """The network, or its head."""
    inputs: Iterable[NDArray[np.uint8]] | list[NDArray[np.float32]]
    """Chunks of images (N, H, W, 3) uint8, or of features for the head."""
    judge: Judge
    output_names: Sequence[str]
    """Names of the model's outputs, in order."""
    preprocessing: Preprocessing

    def score(self) -> Score:
        """Score the model with its current weights."""
        judged = self.judge.judged(
            named_outputs(self.model.predict_on_batch(inputs), self.output_names)
            for inputs in self._batches()
        )
        return Score(judged.value, judged.loss)

    def _batches(self) -> Iterable[NDArray[np.float32]]:
        for chunk in self.inputs:
            size = BATCH_SIZE
            if chunk.dtype == np.uint8:
                height, width = chunk.shape[1:3]
                size = max(1, min(size, MOST_PIXELS // (height * width)))
            for start in range(0, len(chunk), size):
                part: NDArray[Any] = chunk[start : start + size]
                yield self.preprocessing.normalize(part) if part.dtype == np.uint8 else part


def named_outputs(outputs: Any, names: Sequence[str]) -> Outputs:
    """A Keras model's outputs by name; given as one array, a list in order, or a dict."""
    if isinstance(outputs, dict):
        return {name: np.asarray(outputs[name]) for name in names}
    arrays = outputs if isinstance(outputs, list | tuple) else [outputs]
    return {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}
