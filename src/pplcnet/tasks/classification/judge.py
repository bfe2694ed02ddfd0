"""Labelled images as a measure of logits: top-1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import LabelledImage
from pplcnet.tasks.task import Drop, Outputs

__all__ = ["ClassJudge", "judge"]


@dataclass(frozen=True)
class ClassJudge:
    """A `Judge` of images with one class each."""

    labels: NDArray[np.int64]
    """(N,) class indices."""

    def value(self, outputs: Outputs) -> float:
        """Top-1 accuracy of the logits (N, classes); NaN when one of them is NaN."""
        logits = outputs["logits"]
        if np.isnan(logits).any():
            return float("nan")
        return float((logits.argmax(axis=1) == self.labels).mean())

    def loss(self, outputs: Outputs) -> float:
        """Mean cross-entropy."""
        logits = outputs["logits"].astype(np.float64)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-log_probabilities[np.arange(len(self.labels)), self.labels].mean())

    def drop(self, outputs: Outputs, reference: Outputs) -> Drop:
        """How far top-1 falls."""
        return Drop(self.value(reference) - self.value(outputs), "top-1")

    def agreement(self, outputs: Outputs, reference: Outputs) -> float:
        """The share of the images with the same class."""
        answers = (each["logits"].argmax(axis=1) for each in (outputs, reference))
        return float(np.equal(*answers).mean())

    def each(self, outputs: Outputs) -> list[float]:
        """1 for an image with the right class, else 0."""
        is_right = outputs["logits"].argmax(axis=1) == self.labels
        return [float(right) for right in is_right]

    def of_some(self, chosen: Sequence[int]) -> Self:
        """The same for some of the images, by their places."""
        return type(self)(self.labels[chosen])


def judge(manifest: Manifest, images: Sequence[LabelledImage]) -> ClassJudge:
    """For images with the manifest's classes."""
    return ClassJudge(np.asarray([image.shown[0] for image in images], np.int64))
