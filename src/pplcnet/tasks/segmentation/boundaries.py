"""Boundary F1: whether the borders between classes are where they should be.

A border pixel of the answer is right if the mask has a border of the same class within 0.75 % of
the image's diagonal; recall is the same with the roles swapped (Csurka, Larlus and Perronnin 2013,
"What is a good evaluation measure for semantic segmentation?"). Their measure is a mean over
images; here pixels are first summed over all images, as for every other figure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.masks import IGNORED

__all__ = ["REACH", "border_counts", "border_f1", "reach_of"]

REACH = 0.0075
"""The tolerance, as a share of the image's diagonal."""


def reach_of(size: tuple[int, int]) -> int:
    """The tolerance in pixels for an image of (height, width), at least 1."""
    return max(1, round(REACH * math.hypot(*size)))


def border_counts(
    truth: NDArray[np.uint8], answer: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """(C, 4): answered border pixels, those of them that are right, true ones, those of them found.

    The edges of ignored areas and of the image do not count as borders.

    Args:
        truth: (H, W) class indices, as `answer`.
    """
    answer = np.where(truth == IGNORED, truth, answer)
    counts: NDArray[np.int64] = np.zeros((classes, 4), np.int64)
    reach = reach_of((truth.shape[0], truth.shape[1]))
    # A row long enough that no run of pixels reaches into the next.
    row = truth.shape[1] + reach + 1
    by_class = [_places(each, row, classes) for each in (answer, truth)]
    for label, own in enumerate(zip(*by_class, strict=True)):
        for at, (some, others) in enumerate((own, own[::-1])):
            near = _near(some, others, reach, row)
            counts[label, 2 * at : 2 * at + 2] = len(some), near
    return counts


def border_f1(counts: NDArray[np.integer]) -> list[float | None]:
    """F1 per class, from sums of `border_counts`; None for one without a border in the masks."""
    found: list[float | None] = []
    for answered, right, there, reached in counts.tolist():
        if not there:
            found.append(None)
            continue
        precision, recall = right / answered if answered else 0.0, reached / there
        both = precision + recall
        found.append(2 * precision * recall / both if both else 0.0)
    return found


def _borders(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W): whether a pixel beside, above or below has another class, IGNORED excepted."""
    is_border = np.zeros(classes.shape, bool)
    known = classes != IGNORED
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        differs = (classes[one] != classes[other]) & known[one] & known[other]
        is_border[one] |= differs
        is_border[other] |= differs
    return is_border


def _places(classes: NDArray[np.uint8], row: int, count: int) -> list[NDArray[np.int64]]:
    """For each class, its border pixels as `row` times y plus x, ascending."""
    down, across = np.nonzero(_borders(classes))
    places, labels = down * row + across, classes[down, across]
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(1, count))
    return np.split(places[order], ends) if count else []


def _near(some: NDArray[np.int64], others: NDArray[np.int64], reach: int, row: int) -> int:
    """How many of `some` pixels have one of `others` within a disc; both come from `_places`."""
    if not len(others):
        return 0
    left = some
    for step in sorted(range(-reach, reach + 1), key=abs):
        half = math.isqrt(reach * reach - step * step)
        start = left + (step * row - half)
        # The first of the others from there on: is it within the run?
        first = np.searchsorted(others, start).clip(max=len(others) - 1)
        is_near = (others[first] >= start) & (others[first] <= start + 2 * half)
        left = left[~is_near]
    return len(some) - len(left)
