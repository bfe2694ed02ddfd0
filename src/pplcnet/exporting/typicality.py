"""Fits what is typical of a network's training images, on their embeddings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.runtime.embedding import unit_length
from pplcnet.runtime.typicality import MOST_DISTANCES, Energy, Scale, Typicality
from pplcnet.tasks.task import Outputs

__all__ = ["TRAINING_LIMIT", "fit_typicality", "typicality_facts"]

TRAINING_LIMIT = 1000
"""Training images whose embeddings are used, evenly sampled."""
DIRECTIONS = 32
# A fraction of the mean variance, so that near-identical training images leave some room.
LEAST_VARIANCE = 1e-3
LOW = 0.05
"""The fraction of validation images below the lower end of a measure's scale."""


def fit_typicality(
    training: NDArray[np.float32], validation: Outputs, energy: Energy | None
) -> Typicality | None:
    """Fit the distribution of training embeddings, and how unusual validation images are in it.

    Args:
        training: (N, D) embeddings as returned by the network.
        validation: outputs of M images, the embedding among them.
        energy: the task's; None if it has none.

    Returns:
        The fit; None if it is not possible, with fewer than two training images or with identical
        embeddings.
    """
    vectors = unit_length(training).astype(np.float64)
    if len(vectors) < 2 or not all(map(len, validation.values())):
        return None
    mean = vectors.mean(axis=0)
    _, singular, directions = np.linalg.svd(vectors - mean, full_matrices=False)
    variances = np.square(singular) / len(vectors)
    size = vectors.shape[1]
    count = min(DIRECTIONS, len(vectors) - 1, size - 1)
    least = LEAST_VARIANCE * variances.sum() / size
    if not least > 0:
        return None
    rest = max(float(variances[count:].sum() / (size - count)), least)
    fitted = Typicality(
        mean.astype(np.float32),
        directions[:count].astype(np.float32),
        np.maximum(variances[:count], rest).astype(np.float32),
        float(np.float32(rest)),
        ((vectors - mean) @ directions[:count].T).astype(np.float16),
    )
    measured = fitted.measures(validation, energy)
    fitted = replace(fitted, scales={name: _scale(each) for name, each in measured.items()})
    distances = np.sort(fitted.strangeness(validation, energy))
    if len(distances) > MOST_DISTANCES:
        distances = np.quantile(distances, np.linspace(0, 1, MOST_DISTANCES))
    return replace(fitted, distances=np.array([_rounded(each) for each in distances]))


def _scale(values: NDArray[np.float64]) -> Scale:
    middle, low = np.quantile(values, [0.5, LOW])
    # Leave some room even if the validation images are all alike.
    return _rounded(middle), _rounded(max(middle - low, 1e-6 * abs(middle), 1e-9))


def _rounded(value: float) -> float:
    """Rounded as in the manifest."""
    return float(f"{value:.6g}")


def typicality_facts(fitted: Typicality, training: int) -> dict[str, Any]:
    """Facts for the manifest's `calibration`; `training` is the number of training images."""
    return {"training_images": training, **fitted.facts()}
