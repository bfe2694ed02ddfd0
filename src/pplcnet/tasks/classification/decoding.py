"""Decodes a network's logits to one class per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.imaging.geometry import Geometry
from pplcnet.tasks.scores import ClassScore, ScoredPrediction, softmax
from pplcnet.tasks.task import Decoder, Outputs

__all__ = ["ClassPrediction", "decoder"]


@dataclass(frozen=True, slots=True, repr=False)
class ClassPrediction(ScoredPrediction):
    """Which class an image shows."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax after temperature scaling, (classes,) float64."""
        return softmax(self.logits / np.float32(self.temperature))

    @property
    def labels(self) -> list[ClassScore]:
        """The most probable class, as a list, to match multi-label predictions."""
        return [self.best]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """ "probabilities" (classes,) float32, and "label" () str, the most probable class."""
        probabilities = self.probabilities
        label = self.classes[int(probabilities.argmax())]
        return {"probabilities": probabilities.astype(np.float32), "label": np.asarray(label)}


def decoder(manifest: Manifest) -> Decoder[ClassPrediction]:
    """The decoder for a manifest's classes, which reads the output "logits"."""
    classes, temperature = manifest.classes, manifest.temperature

    def decode(outputs: Outputs, geometry: Geometry, source: str) -> ClassPrediction:
        return ClassPrediction(source, None, outputs["logits"], classes, temperature)

    return decode
