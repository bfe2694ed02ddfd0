"""Shared parts of predictions with a probability for each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import printable
from pplcnet.system.arguments import check_count
from pplcnet.system.notebook import bars, facts_table
from pplcnet.tasks.task import Outputs, Prediction

__all__ = [
    "ClassScore",
    "ScoredPrediction",
    "joined_logits",
    "log_sum_exp",
    "sigmoid",
    "softmax",
    "sum_log_one_plus_exp",
]

# The number of scores that a prediction's repr and notebooks show.
SHOWN = 5
# Beyond these odds, probabilities round to 0 and 1.
MOST_CERTAIN = 1e-12
NO_LOGITS: NDArray[np.float32] = np.empty(0, np.float32)


class ClassScore(NamedTuple):
    """One class and its predicted probability."""

    label: str
    probability: float
    class_index: int
    """The class's place in the bundle's list of classes."""


def joined_logits(outputs: Iterable[Outputs]) -> NDArray[np.float32]:
    """The logits (N, classes), joined from outputs that come in batches."""
    return np.concatenate([each["logits"] for each in outputs])


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities over the last axis, computed in float64 without overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def log_sum_exp(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """The logarithm of the sum of exponentials over the last axis: the negative energy of logits
    for one class per image (Liu et al. 2020)."""
    highest = logits.max(axis=-1, keepdims=True).astype(np.float64)
    found: NDArray[np.float64] = np.log(np.exp(logits - highest).sum(axis=-1)) + highest[..., 0]
    return found


def sum_log_one_plus_exp(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """The sum of log(1 + exp(logit)) over the last axis: the negative energy of logits for several
    labels per image (Wang et al. 2021)."""
    found: NDArray[np.float64] = np.logaddexp(0.0, logits.astype(np.float64)).sum(axis=-1)
    return found


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """The sigmoid of every logit, computed in float64 without overflow."""
    values = logits.astype(np.float64)
    small = np.exp(-np.abs(values))
    probabilities: NDArray[np.float64] = np.where(values >= 0, 1.0, small) / (1 + small)
    return probabilities


@dataclass(frozen=True, slots=True)
class ScoredPrediction(Prediction):
    """A probability for each class of one image."""

    _logits: NDArray[np.float32] = field(default_factory=lambda: NO_LOGITS)
    """Empty where `error` is set."""
    classes: Sequence[str] = ()
    temperature: float = 1.0
    """The logits are divided by this, so that probabilities are calibrated."""

    columns: ClassVar[tuple[str, ...]] = ("label", "probability")

    def __repr__(self) -> str:
        kind = type(self).__name__
        if self.error is not None:
            return f"<{kind} {self.source!r}: error: {printable(self.error.reason)}>"
        scores = self._notable()
        shown = ", ".join(f"{each.label!r} {each.probability:.3f}" for each in scores[:SHOWN])
        more = f", {len(scores) - SHOWN} more" if len(scores) > SHOWN else ""
        return f"<{kind} {self.source!r}: {shown or 'no labels'}{more}>"

    def _repr_html_(self) -> str:
        if self.error is not None:
            return facts_table(self.source, [("error", self.error.reason)])
        return bars(self.source, [(each.label, each.probability) for each in self.top(SHOWN)], "")

    def _notable(self) -> list[ClassScore]:
        """The classes that the repr shows."""
        return self.top(SHOWN)

    @property
    def logits(self) -> NDArray[np.float32]:
        """The network's raw outputs, (classes,) float32."""
        if self.error is not None:
            raise self.error
        return self._logits

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The probabilities after temperature scaling, (classes,) float64."""
        raise NotImplementedError

    def evidence(self) -> NDArray[np.float64]:
        """The log-odds of the probabilities, (classes,) float64, within 27.7 of zero."""
        chances = np.clip(self.probabilities, MOST_CERTAIN, 1 - MOST_CERTAIN)
        found: NDArray[np.float64] = np.log(chances) - np.log1p(-chances)
        return found

    @property
    def best(self) -> ClassScore:
        """The most probable class."""
        return self.top(1)[0]

    def top(self, count: int) -> list[ClassScore]:
        """The `count` most probable classes, best first; fewer if there are not that many.

        Raises:
            InputError: the count is not a whole number of at least 0.
        """
        check_count(count, "count")
        probabilities = self.probabilities
        order = np.argsort(-probabilities, kind="stable")[:count]
        return [
            ClassScore(self.classes[index], float(probabilities[index]), int(index))
            for index in order
        ]

    def answer(self, most: int | None = None) -> list[ClassScore]:
        """The `most` most probable classes; None for those that count as the answer."""
        return [self.best] if most is None else self.top(most)

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """The label and the probability, rounded to six digits, of each class in `answer`."""
        return [
            {"label": each.label, "probability": round(each.probability, 6)}
            for each in self.answer(most)
        ]

    def to_text(self, most: int | None = None) -> str:
        """Labels with their probabilities."""
        scores = self.answer(most)
        return "  ".join(f"{each.label} {each.probability:.3f}" for each in scores) or "no label"
