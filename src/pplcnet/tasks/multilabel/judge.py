"""Images with any number of labels as a measure of logits: mean average precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import PRESENT, UNKNOWN
from pplcnet.data.dataset import LabelledImage
from pplcnet.tasks.multilabel.decoding import logit_thresholds
from pplcnet.tasks.multilabel.measures import marks_of, mean_average_precision
from pplcnet.tasks.scores import joined_logits
from pplcnet.tasks.task import Drop, Outputs

__all__ = ["JudgedLabels", "LabelJudge", "judge"]


@dataclass(frozen=True)
class JudgedLabels:
    """A `Judged` of images with any number of labels."""

    marks: NDArray[np.int8]
    """(N, labels): 1 shown, 0 not shown, -1 unknown."""
    thresholds: NDArray[np.float64]
    """(labels,) logits from which on a label counts as shown."""
    logits: NDArray[np.float32]
    """(N, labels)."""

    @property
    def value(self) -> float:
        """mAP; NaN when a logit is NaN."""
        if np.isnan(self.logits).any():
            return float("nan")
        return mean_average_precision(self.logits, self.marks)

    @property
    def loss(self) -> float:
        """Binary cross-entropy of the known labels, summed over the labels of an image."""
        logits = self.logits.astype(np.float64)
        losses = np.logaddexp(0, np.where(self.marks == PRESENT, -logits, logits))
        return float((losses * (self.marks != UNKNOWN)).sum(axis=1).mean())

    @property
    def each(self) -> list[float]:
        """The share of every image's known labels that is right."""
        known = self.marks != UNKNOWN
        right = (self._named == (self.marks == PRESENT)) & known
        return [float(share) for share in right.sum(axis=1) / np.maximum(known.sum(axis=1), 1)]

    def drop(self, reference: Self) -> Drop:
        """The larger of two: the ranking can hold (mAP) while what reaches a threshold does not."""
        ranked = Drop(reference.value - self.value, "mAP")
        if np.isnan(ranked.amount):
            return ranked
        named = float(np.mean(reference.each) - np.mean(self.each))
        return max(ranked, Drop(named, "the labels that are right"))

    def agreement(self, other: Self) -> float:
        """The share of the images with the same set of labels."""
        return float((self._named == other._named).all(axis=1).mean())

    @property
    def _named(self) -> NDArray[np.bool_]:
        return np.asarray(self.logits >= self.thresholds)


@dataclass(frozen=True)
class LabelJudge:
    """A `Judge` of images with any number of labels."""

    marks: NDArray[np.int8]
    """(N, labels): 1 shown, 0 not shown, -1 unknown."""
    thresholds: NDArray[np.float64]
    """(labels,) logits from which on a label counts as shown."""

    def judged(self, outputs: Iterable[Outputs]) -> JudgedLabels:
        """What the logits (N, labels) are worth."""
        return JudgedLabels(self.marks, self.thresholds, joined_logits(outputs))

    def of_some(self, chosen: Sequence[int]) -> Self:
        """The same for some of the images, by their places."""
        return type(self)(self.marks[chosen], self.thresholds)


def judge(manifest: Manifest, images: Sequence[LabelledImage]) -> LabelJudge:
    """For images with the manifest's labels."""
    marks = marks_of(images, len(manifest.classes))
    return LabelJudge(marks, logit_thresholds(manifest))
