"""What a classifier answers: logits to probabilities, and the classes by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ImageError, printable
from pplcnet.system.notebook import bars, facts_table, shortened

__all__ = ["ClassScore", "Prediction", "sigmoid", "softmax"]

# Scores in a prediction's repr and in notebooks.
SHOWN = 5


class ClassScore(NamedTuple):
    """One class and how probable the network takes it to be."""

    label: str
    probability: float
    class_index: int
    """The class's place in the bundle's list of classes."""


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities over the last axis, computed in float64 without overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Every logit's own probability, computed in float64 without overflow."""
    values = logits.astype(np.float64)
    small = np.exp(-np.abs(values))
    probabilities: NDArray[np.float64] = np.where(values >= 0, 1.0, small) / (1 + small)
    return probabilities


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one picture, or why there is none.

    A picture that could not be read has `error` set; asking such a prediction for its scores
    raises that error, so that a missing answer is never taken for one.
    """

    source: str
    """The picture's path, or a description of what was given."""
    _logits: NDArray[np.float32]
    """Empty where `error` is set."""
    classes: Sequence[str]
    error: ImageError | None = None
    temperature: float = 1.0
    """What the logits are divided by, so that a probability means something."""
    thresholds: Sequence[float] | None = None
    """From which probability on each class is on the picture; None where one class is."""

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Prediction {self.source!r}: error: {printable(self.error.reason)}>"
        scores = self.labels if self.thresholds is not None else self.top(SHOWN)
        shown = ", ".join(f"{each.label!r} {each.probability:.3f}" for each in scores[:SHOWN])
        more = f", {len(scores) - SHOWN} more" if len(scores) > SHOWN else ""
        return f"<Prediction {self.source!r}: {shown or 'no labels'}{more}>"

    def _repr_html_(self) -> str:
        if self.error is not None:
            return facts_table(self.source, [("error", self.error.reason)])
        rows = [(each.label, each.probability) for each in self.top(SHOWN)]
        labels = shortened([each.label for each in self.labels]) or "none"
        note = "" if self.thresholds is None else f"labels above their threshold: {labels}"
        return bars(self.source, rows, note)

    @property
    def logits(self) -> NDArray[np.float32]:
        """The network's raw outputs, (classes,) float32."""
        if self.error is not None:
            raise self.error
        return self._logits

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of the logits over the temperature, (classes,) float64.

        Softmax where a picture has one class, else every class's own sigmoid.
        """
        scaled = self.logits / np.float32(self.temperature)
        return softmax(scaled) if self.thresholds is None else sigmoid(scaled)

    @property
    def best(self) -> ClassScore:
        """The most probable class."""
        return self.top(1)[0]

    @property
    def labels(self) -> list[ClassScore]:
        """The classes whose probability reaches their threshold, the most probable first.

        May be empty. Where a picture has one class, that is the best.
        """
        if self.thresholds is None:
            return [self.best]
        scores = self.top(len(self.classes))
        return [each for each in scores if each.probability >= self.thresholds[each.class_index]]

    def top(self, count: int) -> list[ClassScore]:
        """The `count` most probable classes, best first; fewer when there are not so many."""
        probabilities = self.probabilities
        order = np.argsort(-probabilities, kind="stable")[:count]
        return [
            ClassScore(self.classes[index], float(probabilities[index]), int(index))
            for index in order
        ]
