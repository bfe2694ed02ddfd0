"""Boundary F1: whether borders between classes are where they were drawn.

A pixel of a border of the answer is right if a border of the same class in the mask is no farther
than 0.75 % of the image's diagonal, and the other way round for recall (Csurka, Larlus and
Perronnin 2013, "What is a good evaluation measure for semantic segmentation?"). Their measure is a
mean over images; here the pixels are summed over all images first, as for every other figure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.masks import IGNORED

__all__ = ["REACH", "border_counts", "border_f1", "reach_of"]

REACH = 0.0075
"""Of the diagonal."""


def reach_of(size: tuple[int, int]) -> int:
    """How far two borders may be apart in an image of (height, width), in pixels."""
    return max(1, round(REACH * math.hypot(*size)))


def border_counts(
    truth: NDArray[np.uint8], answer: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """(C, 4): border pixels answered, those of them that are right; there, and found.

    Where the mask is ignored, and next to that, nothing is a border; the edge of the image is none.

    Args:
        truth: (H, W) class indices, as `answer`.
    """
    answer = np.where(truth == IGNORED, truth, answer)
    counts: NDArray[np.int64] = np.zeros((classes, 4), np.int64)
    reach = reach_of((truth.shape[0], truth.shape[1]))
    borders = [_borders(each) for each in (answer, truth)]
    occurring = [np.bincount(each.ravel(), minlength=IGNORED + 1) for each in (answer, truth)]
    for label in np.flatnonzero((occurring[0] + occurring[1])[:classes]).tolist():
        own = [
            border & (each == label) for border, each in zip(borders, (answer, truth), strict=True)
        ]
        for place, (some, others) in enumerate((own, own[::-1])):
            counts[label, 2 * place : 2 * place + 2] = some.sum(), _near(some, others, reach)
    return counts


def border_f1(counts: NDArray[np.integer]) -> list[float | None]:
    """Of every class, of sums of `border_counts`; None for one without a border in the masks."""
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
    """(H, W): pixels with another class beside, above or below; nothing borders on IGNORED."""
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


def _near(some: NDArray[np.bool_], others: NDArray[np.bool_], reach: int) -> int:
    """How many of some pixels have one of the others within a disc."""
    rows, columns = np.nonzero(some)
    if not len(rows) or not others.any():
        return 0
    height, width = others.shape
    # How many of the others lie before each place of a row: two look-ups tell of any stretch.
    before = np.zeros((height, width + 1), np.int32)
    np.cumsum(others, axis=1, out=before[:, 1:])
    is_near = np.zeros(len(rows), bool)
    for step in sorted(range(-reach, reach + 1), key=abs):
        left = np.flatnonzero(~is_near & (rows + step >= 0) & (rows + step < height))
        half = math.isqrt(reach * reach - step * step)
        row, column = rows[left] + step, columns[left]
        start, end = (column - half).clip(0), (column + half + 1).clip(max=width)
        is_near[left] = before[row, end] > before[row, start]
    return int(is_near.sum())
