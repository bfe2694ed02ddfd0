"""A segmenter's answers to the images of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.data.dataset import Dataset
from pplcnet.pages.section import Score
from pplcnet.tasks.segmentation.areas import miou_interval, miou_of
from pplcnet.tasks.segmentation.evaluation import Answered, MaskEvaluation, evaluate

__all__ = ["MaskAnswers"]


@dataclass(frozen=True)
class MaskAnswers:
    """The areas of each image and its answer, in the order of the data set."""

    manifest: Manifest
    dataset: Dataset
    evaluation: MaskEvaluation
    predictions: Sequence[Answered]

    def score(self, chosen: NDArray[np.bool_] | None = None) -> Score | None:
        """mIoU with its interval, on the images where `chosen` (N,) is true or on all.

        None if no class occurs in them.
        """
        evaluation = self.evaluation
        places = slice(None) if chosen is None else chosen
        areas = [each[places] for each in (evaluation.right, evaluation.there, evaluation.answered)]
        value = float(miou_of(*(each.sum(axis=0) for each in areas)))
        if np.isnan(value):
            return None
        return Score(len(areas[0]), value, miou_interval(*areas))

    def agreement(self, other: Self) -> float:
        """The share of pixels with the same class, averaged over the images."""
        pairs = zip(self.predictions, other.predictions, strict=True)
        shares = [float((one.class_map == another.class_map).mean()) for one, another in pairs]
        return float(np.mean(shares)) if shares else 1.0

    def answered_by(self, predictions: Sequence[Any]) -> Self:
        """Another network's answers to the same images."""
        pairs = zip(self.dataset.images, predictions, strict=True)
        evaluation = evaluate(self.manifest, self.dataset, pairs)
        return replace(self, evaluation=evaluation, predictions=predictions)
