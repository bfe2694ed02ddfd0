"""A detector's answers to the images of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.pages.section import Score
from pplcnet.tasks.detection.evaluation import BoxEvaluation, found_in
from pplcnet.tasks.detection.matching import match_boxes
from pplcnet.tasks.detection.pairing import share_of_same

__all__ = ["BoxAnswers"]


@dataclass(frozen=True)
class BoxAnswers:
    """The true and the detected boxes of each image, in the order of the data set."""

    dataset: Dataset
    evaluation: BoxEvaluation

    def score(self, chosen: NDArray[np.bool_] | None = None) -> Score | None:
        """AP with its interval, on the images where `chosen` (N,) is true or on all.

        None if none of them has a box.
        """
        evaluation = self.evaluation
        if chosen is None:
            matches = evaluation.matches
        else:
            places = np.flatnonzero(chosen).tolist()
            truth = [evaluation.truth[at] for at in places]
            found = [evaluation.found[at] for at in places]
            matches = match_boxes(truth, found, len(evaluation.classes), ("all",))
        value = matches.average_precision()
        return None if value is None else Score(matches.images, value, matches.interval)

    def agreement(self, other: BoxAnswers) -> float:
        """The share of the images on which the same boxes are shown."""
        return share_of_same(self.evaluation.shown, other.evaluation.shown)

    def answered_by(self, predictions: Sequence[Any]) -> Self:
        """Another network's answers to the same images."""
        return replace(self, evaluation=replace(self.evaluation, found=found_in(predictions)))

    def shown_at(self, confidence: float) -> BoxEvaluation:
        """The evaluation at another confidence threshold."""
        return replace(self.evaluation, confidence=confidence)
