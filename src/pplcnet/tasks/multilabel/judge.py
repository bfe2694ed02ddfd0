"""Scores logits against multi-label images: mean average precision."""

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
    """(labels,) the logit from which each label counts as shown."""
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
        """The share of each image's known labels that are right."""
        known = self.marks != UNKNOWN
        right = (self._named == (self.marks == PRESENT)) & known
        return [float(share) for share in right.sum(axis=1) / np.maximum(known.sum(axis=1), 1)]

    def drop(self, reference: Self) -> Drop:
        """The larger of two drops: mAP can hold while the predicted labels get worse."""
        ranked = Drop(reference.value - self.value, "mAP")
        if np.isnan(ranked.amount):
            return ranked
        named = float(np.mean(reference.each) - np.mean(self.each))
        return max(ranked, Drop(named, "the labels that are right"))

    def agreement(self, other: Self) -> float:
        """The share of the images that get the same set of labels."""
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
    """(labels,) the logit from which each label counts as shown."""

    def judged(self, outputs: Iterable[Outputs]) -> JudgedLabels:
        """Score logits (N, labels)."""
        return JudgedLabels(self.marks, self.thresholds, joined_logits(outputs))

    def of_some(self, chosen: Sequence[int]) -> Self:
        """A judge of some of the images, given by index."""
        return type(self)(self.marks[chosen], self.thresholds)


def judge(manifest: Manifest, images: Sequence[LabelledImage]) -> LabelJudge:
    """The judge of images that are labelled with the manifest's labels."""
    marks = marks_of(images, len(manifest.classes))
    return LabelJudge(marks, logit_thresholds(manifest))
