"""How good answers are, and whether two networks answer alike, for one label a photo or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import LabelledImage
from pplcnet.data.layouts.csv_table import PRESENT, UNKNOWN
from pplcnet.export.timing import accuracy_of, agreement_of
from pplcnet.metrics.average_precision import mean_average_precision

__all__ = ["NAMES", "Judge", "describe_agreement", "logit_cuts", "same_answers"]

NAMES = {"top1": "top-1", "map": "mAP"}
"""What a measure of the manifest is called."""


@dataclass(frozen=True)
class Judge:
    """Labelled photos as a measure of logits."""

    labels: NDArray[Any]
    """(N,) class indices; or (N, labels) marks where photos have several."""
    cuts: NDArray[np.float64] | None
    """(labels,) logits from which on a label is answered; None for one label a photo."""

    @classmethod
    def of(cls, bundle: Bundle, images: Sequence[LabelledImage]) -> Self:
        """For a bundle and photos of its classes."""
        cuts = logit_cuts(bundle.manifest)
        if cuts is None:
            return cls(np.asarray([image.label for image in images]), None)
        return cls(np.asarray([image.marks for image in images], np.int8), cuts)

    @property
    def measure(self) -> str:
        """ "top1", or "map" for several labels: the mean average precision."""
        return "top1" if self.cuts is None else "map"

    def accuracy(self, logits: NDArray[np.float32]) -> float:
        """That measure of logits (N, classes), 0 to 1; NaN when a logit is NaN."""
        if self.cuts is None:
            return accuracy_of(logits, self.labels)
        is_usable = not np.isnan(logits).any()
        return mean_average_precision(logits, self.labels) if is_usable else float("nan")

    def loss(
        self, logits: NDArray[np.float32], reference: NDArray[np.float32]
    ) -> tuple[float, str]:
        """How much worse than the reference, 0 to 1, and by which measure; NaN when a logit is.

        Of several labels the worse of two: their ranking can hold (the mAP) while what is named at
        the thresholds does not.
        """
        drop = self.accuracy(reference) - self.accuracy(logits), NAMES[self.measure]
        if self.cuts is None or np.isnan(drop[0]):
            return drop
        named = float(np.mean(self.each(reference)) - np.mean(self.each(logits)))
        return max(drop, (named, "the labels that are right"))

    def of_some(self, chosen: Sequence[int]) -> Self:
        """The same for some of the photos, by their places."""
        return type(self)(self.labels[chosen], self.cuts)

    def each(self, logits: NDArray[np.float32]) -> list[float]:
        """How right every photo's answer is: 0 or 1, or the part of its known labels."""
        if self.cuts is None:
            return [float(each) for each in logits.argmax(axis=1) == self.labels]
        known = self.labels != UNKNOWN
        right = ((logits >= self.cuts) == (self.labels == PRESENT)) & known
        return [float(each) for each in right.sum(axis=1) / np.maximum(known.sum(axis=1), 1)]

    def agreement(self, logits: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
        """Part of the photos with the reference's class, or the same set of labels."""
        return same_answers(logits, reference, self.cuts)


def logit_cuts(manifest: Manifest) -> NDArray[np.float64] | None:
    """The thresholds on the scale of the logits, (labels,); None for one label a photo."""
    if manifest.cuts is None:
        return None
    chances = np.clip(manifest.cuts, 1e-15, 1 - 1e-15)
    cuts: NDArray[np.float64] = np.log(chances / (1 - chances)) * manifest.temperature
    return cuts


def same_answers(
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    cuts: NDArray[np.float64] | None,
) -> float:
    """Part of the photos with the reference's class, or the same set of labels."""
    if cuts is None:
        return agreement_of(logits, reference)
    return float(((logits >= cuts) == (reference >= cuts)).all(axis=1).mean())


def describe_agreement(parity: dict[str, Any]) -> str:
    """On which part of the photos the answers were the same, of the figures in a manifest."""
    if "labels_agreement" in parity:
        return f"the same set of labels on {parity['labels_agreement']:.3f}"
    return f"top-1 agreement {parity['top1_agreement']:.3f}"
