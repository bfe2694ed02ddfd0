"""Decodes a network's logits to any number of labels per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.imaging.geometry import Geometry
from pplcnet.system.notebook import bars, facts_table, shortened
from pplcnet.tasks.multilabel.measures import DEFAULT_THRESHOLD
from pplcnet.tasks.scores import SHOWN, ClassScore, ScoredPrediction, sigmoid
from pplcnet.tasks.task import Outputs

__all__ = ["LabelPrediction", "decoder", "logit_thresholds", "thresholds_of"]


@dataclass(frozen=True, slots=True, repr=False)
class LabelPrediction(ScoredPrediction):
    """Which labels an image shows."""

    thresholds: Sequence[float] = ()
    """The probability from which each label counts as shown."""

    def _repr_html_(self) -> str:
        if self.error is not None:
            return facts_table(self.source, [("error", self.error.reason)])
        rows = [(each.label, each.probability) for each in self.top(SHOWN)]
        labels = shortened([each.label for each in self.labels]) or "none"
        return bars(self.source, rows, f"labels above their threshold: {labels}")

    def _notable(self) -> list[ClassScore]:
        return self.labels

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Sigmoid after temperature scaling, (labels,) float64."""
        return sigmoid(self.logits / np.float32(self.temperature))

    @property
    def best(self) -> ClassScore:
        """The most probable label, even if it is below its threshold and so not among `labels`."""
        return self.top(1)[0]

    @property
    def labels(self) -> list[ClassScore]:
        """The labels whose probability reaches their threshold, the most probable first."""
        scores = self.top(len(self.classes))
        return [each for each in scores if each.probability >= self.thresholds[each.class_index]]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """ "probabilities" (labels,) float32, "labels" (labels,) str, and "present" (labels,)
        uint8, 1 where the probability reaches its threshold."""
        probabilities = self.probabilities
        return {
            "probabilities": probabilities.astype(np.float32),
            "labels": np.asarray(self.classes),
            "present": (probabilities >= np.asarray(self.thresholds)).astype(np.uint8),
        }

    def answer(self, most: int | None = None) -> list[ClassScore]:
        """The `most` most probable labels; None for those that reach their threshold."""
        return self.labels if most is None else self.top(most)


def thresholds_of(manifest: Manifest) -> tuple[float, ...]:
    """The probability thresholds, in the order of the classes."""
    chosen = manifest.decoding.get("thresholds", {})
    return tuple(chosen.get(name, DEFAULT_THRESHOLD) for name in manifest.classes)


def logit_thresholds(manifest: Manifest) -> NDArray[np.float64]:
    """The thresholds as logits, (labels,)."""
    chances = np.clip(thresholds_of(manifest), 1e-15, 1 - 1e-15)
    found: NDArray[np.float64] = np.log(chances / (1 - chances)) * manifest.temperature
    return found


@dataclass(frozen=True, slots=True)
class LabelDecoder:
    """Decodes the output "logits"."""

    classes: tuple[str, ...]
    temperature: float
    thresholds: tuple[float, ...]

    def __call__(self, outputs: Outputs, geometry: Geometry, source: str) -> LabelPrediction:
        """The labels of one image, from logits (labels,)."""
        return LabelPrediction(
            source, None, outputs["logits"], self.classes, self.temperature, self.thresholds
        )


def decoder(manifest: Manifest) -> LabelDecoder:
    """The decoder for a manifest's labels, temperature and thresholds."""
    return LabelDecoder(manifest.classes, manifest.temperature, thresholds_of(manifest))
