"""What is typical of a network's training images, fitted on their embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.runtime.embedding import unit_length
from pplcnet.runtime.typicality import MOST_DISTANCES, Typicality

__all__ = ["TRAINING_LIMIT", "fit_typicality", "typicality_facts"]

TRAINING_LIMIT = 1000
"""Training images whose embeddings are taken, evenly chosen."""
DIRECTIONS = 32
# Of the mean variance: training images that are all alike still leave some room around them.
LEAST_VARIANCE = 1e-3


def fit_typicality(
    training: NDArray[np.float32], validation: NDArray[np.float32]
) -> Typicality | None:
    """The distribution of training embeddings, and how far those of the validation are from it.

    Args:
        training: (N, D) as the network gives them.
        validation: (M, D) likewise.

    Returns:
        None where there is nothing to fit it on: fewer than two training images, or embeddings
        that are all the same.
    """
    vectors = unit_length(training).astype(np.float64)
    if len(vectors) < 2 or not len(validation):
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
        np.zeros(1),
    )
    distances = np.sort(fitted.distance(unit_length(validation)))
    if len(distances) > MOST_DISTANCES:
        distances = np.quantile(distances, np.linspace(0, 1, MOST_DISTANCES))
    # As the manifest holds them.
    rounded = np.array([float(f"{each:.6g}") for each in distances])
    return Typicality(fitted.mean, fitted.directions, fitted.variances, fitted.rest, rounded)


def typicality_facts(fitted: Typicality, training: int) -> dict[str, Any]:
    """For the manifest's `calibration`; `training` is the number of training images."""
    return {"training_images": training, "distances": fitted.distances.tolist()}
