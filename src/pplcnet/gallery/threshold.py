"""Chooses the similarity from which a photo counts as one of a gallery's classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pplcnet.gallery.manifest import Threshold
from pplcnet.gallery.nearest import Vectors, best_of_own_and_others
from pplcnet.metrics.open_set import cautious_threshold

__all__ = ["MOST_PHOTOS", "choose_threshold"]

MOST_PHOTOS = 1000
"""Photos used to choose a threshold, evenly sampled; each is compared with the whole gallery."""


def choose_threshold(
    parts: Sequence[Vectors], labels: NDArray[np.int32], rate: float
) -> Threshold | None:
    """The lowest threshold that accepts at most a fraction `rate` of photos of unknown classes.

    The gallery's own photos show how it would answer photos of unknown classes: for each
    photo, its class is removed, and the most similar photo of the remaining classes
    is found. `cautious_threshold` then keeps to the rate for photos drawn in the same way: of
    classes that differ from the gallery's as much as those differ from each other. Photos of
    unrelated things are accepted less often.

    Args:
        parts: (N, D) vectors of length 1 each.
        labels: (N,) class indices.
        rate: largest false acceptance rate, 0 to 1.

    Returns:
        None for a gallery of a single class.
    """
    if (labels == labels[0]).all():
        return None
    count = min(len(labels), MOST_PHOTOS)
    chosen = np.arange(count, dtype=np.int64) * len(labels) // count
    own, others = best_of_own_and_others(parts, labels, chosen)
    similarity = cautious_threshold(others, rate)
    with_own = own[np.isfinite(own)]
    return Threshold(
        similarity=similarity,
        wanted=rate,
        photos=count,
        false_acceptance=float((others >= similarity).mean()),
        false_rejection=float((with_own < similarity).mean()) if len(with_own) else None,
    )
