"""Images with any number of labels as a measure of logits: mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.annotations import PRESENT, UNKNOWN
from pplcnet.data.dataset import LabelledImage
from pplcnet.tasks.multilabel.decoding import logit_thresholds
from pplcnet.tasks.multilabel.measures import marks_of, mean_average_precision
from pplcnet.tasks.task import Drop, Outputs

__all__ = ["LabelJudge", "judge"]


@dataclass(frozen=True)
class LabelJudge:
    """A `Judge` of images with any number of labels."""

    marks: NDArray[np.int8]
    """(N, labels): 1 shown, 0 not shown, -1 unknown."""
    thresholds: NDArray[np.float64]
    """(labels,) logits from which on a label counts as shown."""

    def value(self, outputs: Outputs) -> float:
        """mAP of the logits (N, labels); NaN when one of them is NaN."""
        logits = outputs["logits"]
        if np.isnan(logits).any():
            return float("nan")
        return mean_average_precision(logits, self.marks)

    def loss(self, outputs: Outputs) -> float:
        """Binary cross-entropy of the known labels, summed over the labels of an image."""
        logits = outputs["logits"].astype(np.float64)
        losses = np.logaddexp(0, np.where(self.marks == PRESENT, -logits, logits))
        return float((losses * (self.marks != UNKNOWN)).sum(axis=1).mean())

    def drop(self, outputs: Outputs, reference: Outputs) -> Drop:
        """The larger of two: the ranking can hold (mAP) while what reaches a threshold does not."""
        ranked = Drop(self.value(reference) - self.value(outputs), "mAP")
        if np.isnan(ranked.amount):
            return ranked
        named = float(np.mean(self.each(reference)) - np.mean(self.each(outputs)))
        return max(ranked, Drop(named, "the labels that are right"))

    def agreement(self, outputs: Outputs, reference: Outputs) -> float:
        """The share of the images with the same set of labels."""
        named = (each["logits"] >= self.thresholds for each in (outputs, reference))
        return float(np.equal(*named).all(axis=1).mean())

    def each(self, outputs: Outputs) -> list[float]:
        """The share of every image's known labels that is right."""
        known = self.marks != UNKNOWN
        right = ((outputs["logits"] >= self.thresholds) == (self.marks == PRESENT)) & known
        return [float(share) for share in right.sum(axis=1) / np.maximum(known.sum(axis=1), 1)]

    def of_some(self, chosen: Sequence[int]) -> Self:
        """The same for some of the images, by their places."""
        return type(self)(self.marks[chosen], self.thresholds)


def judge(manifest: Manifest, images: Sequence[LabelledImage]) -> LabelJudge:
    """For images with the manifest's labels."""
    marks = marks_of(images, len(manifest.classes))
    return LabelJudge(marks, logit_thresholds(manifest))
