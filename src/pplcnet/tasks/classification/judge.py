"""Scores logits against labelled images: top-1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import LabelledImage
from pplcnet.tasks.scores import joined_logits
from pplcnet.tasks.task import Drop, Outputs

__all__ = ["ClassJudge", "JudgedClasses", "judge"]


@dataclass(frozen=True)
class JudgedClasses:
    """A `Judged` of images with one class each."""

    labels: NDArray[np.int64]
    """(N,) class indices."""
    logits: NDArray[np.float32]
    """(N, classes)."""

    @property
    def value(self) -> float:
        """Top-1 accuracy; NaN when a logit is NaN."""
        if np.isnan(self.logits).any():
            return float("nan")
        return float((self._answers == self.labels).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""
        logits = self.logits.astype(np.float64)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-log_probabilities[np.arange(len(self.labels)), self.labels].mean())

    @property
    def each(self) -> list[float]:
        """1 for an image with the right class, else 0."""
        return [float(right) for right in self._answers == self.labels]

    def drop(self, reference: Self) -> Drop:
        """How far top-1 falls."""
        return Drop(reference.value - self.value, "top-1")

    def agreement(self, other: Self) -> float:
        """The share of the images that get the same class."""
        return float((self._answers == other._answers).mean())

    @property
    def _answers(self) -> NDArray[np.intp]:
        return self.logits.argmax(axis=1)


@dataclass(frozen=True)
class ClassJudge:
    """A `Judge` of images with one class each."""

    labels: NDArray[np.int64]
    """(N,) class indices."""

    def judged(self, outputs: Iterable[Outputs]) -> JudgedClasses:
        """Score logits (N, classes)."""
        return JudgedClasses(self.labels, joined_logits(outputs))

    def of_some(self, chosen: Sequence[int]) -> Self:
        """A judge of some of the images, given by index."""
        return type(self)(self.labels[chosen])


def judge(manifest: Manifest, images: Sequence[LabelledImage]) -> ClassJudge:
    """The judge of images that are labelled with the manifest's classes."""
    return ClassJudge(np.asarray([image.shown[0] for image in images], np.int64))
