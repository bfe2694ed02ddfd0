"""Connected components of a mask, which stand for its objects, and which of them were found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.masks import IGNORED

__all__ = ["FOUND", "LEAST_PIXELS", "Regions", "regions_of"]

FOUND = 0.5
"""A region counts as found if this share of its pixels is right."""
LEAST_PIXELS = 16
"""Smaller regions are more often labelling specks than objects."""


class Regions(NamedTuple):
    """The R regions of a mask with at least LEAST_PIXELS each."""

    label: NDArray[np.uint8]
    """(R,) class indices."""
    pixels: NDArray[np.int64]
    """(R,) areas."""
    right: NDArray[np.int64]
    """(R,) correctly answered pixels."""

    @property
    def is_found(self) -> NDArray[np.bool_]:
        """(R,) whether each region is found."""
        return np.asarray(self.right >= FOUND * self.pixels)


def regions_of(truth: NDArray[np.uint8], answer: NDArray[np.uint8]) -> Regions:
    """The connected components of each class, with 4-connectivity.

    Args:
        truth: (H, W) class indices; IGNORED forms no region.
        answer: (H, W).
    """
    is_start = np.ones(truth.shape, bool)
    is_start[:, 1:] = truth[:, 1:] != truth[:, :-1]
    starts = np.flatnonzero(is_start)
    run = (np.cumsum(is_start.ravel()) - 1).reshape(truth.shape)
    region = _joined(len(starts), *_touching(truth, run, is_start))
    lengths = np.diff(np.append(starts, truth.size))
    right = np.add.reduceat((truth == answer).ravel(), starts, dtype=np.int64)
    names, places = np.unique(region, return_inverse=True)
    pixels = np.bincount(places, lengths).astype(np.int64)
    hits = np.bincount(places, right).astype(np.int64)
    labels = truth.ravel()[starts][names]
    chosen = (labels != IGNORED) & (pixels >= LEAST_PIXELS)
    return Regions(labels[chosen], pixels[chosen], hits[chosen])


def _touching(
    truth: NDArray[np.uint8], run: NDArray[np.int64], is_start: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of runs of one class that touch vertically."""
    is_same = truth[1:] == truth[:-1]
    # If neither run starts here, the pair is the same as one pixel before.
    is_new = is_start[1:] | is_start[:-1]
    chosen = is_same & is_new
    return run[:-1][chosen], run[1:][chosen]


def _joined(count: int, upper: NDArray[np.int64], lower: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of `count` runs, the first run of its connected component."""
    first = np.arange(count)
    while True:
        one, other = first[upper], first[lower]
        if (one == other).all():
            return first
        np.minimum.at(first, np.maximum(one, other), np.minimum(one, other))
        while (first[first] != first).any():
            first = first[first]
