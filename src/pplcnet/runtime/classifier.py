"""Classifier: opens a classifier's bundle and predicts classes or labels."""

from __future__ import annotations

from os import PathLike

from pplcnet.errors import InputError
from pplcnet.runtime.model import Model
from pplcnet.tasks.scores import ScoredPrediction

__all__ = ["Classifier"]


class Classifier(Model[ScoredPrediction]):
    """A `Model` for classification or multi-label classification.

    Its predictions have a probability for each class. A bundle of another task raises InputError.
    """

    def _check_task(self, bundle: str | PathLike[str]) -> None:
        if not issubclass(self._task.prediction, ScoredPrediction):
            raise InputError(
                f"{bundle}: its task is {self._task.name}, but a Classifier is for classification "
                "and multi-label classification; open it with pplcnet.load."
            )

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """The lowest probability at which a label counts as shown; None for one class per image."""
        found: tuple[float, ...] | None = getattr(self._prediction.decode, "thresholds", None)
        return found
