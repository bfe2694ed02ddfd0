"""Areas of classes in masks and answers, and the figures computed from their sums.

All figures come from areas summed over the images, never from a mean of per-image figures, as in
PaddleSeg and the Cityscapes and PASCAL VOC benchmarks. Ignored pixels are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.masks import IGNORED
from pplcnet.metrics.intervals import Interval

__all__ = ["Areas", "Ratios", "area_table", "miou_interval", "miou_of"]

LEAST_IMAGES = 10
"""With fewer images, a bootstrap cannot tell how far the figure may be off."""
RESAMPLES = 1000
CHUNK = 50
COUNTED = 1 << 22
"""The number of pixels counted at a time."""


class Ratios(NamedTuple):
    """The ratios of one class; an undefined one is None."""

    iou: float | None
    precision: float | None
    recall: float | None
    dice: float | None
    """Also called F1."""


def area_table(
    truth: NDArray[np.uint8], answer: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """(C, C + 1): pixels by true class and answered class; the last column is for no answer.

    Args:
        truth: (H, W) class indices, IGNORED for pixels that do not count.
        answer: (H, W) class indices, IGNORED where there is no answer.
    """
    counts = np.zeros((IGNORED + 1) * (IGNORED + 1), np.int64)
    rows = max(1, COUNTED // max(1, truth.shape[1]))  # bincount takes 8 bytes per pixel
    for top in range(0, len(truth), rows):
        pairs = np.left_shift(truth[top : top + rows].astype(np.uint16), 8)
        pairs |= answer[top : top + rows]
        counts += np.bincount(pairs.ravel(), minlength=len(counts))
    table = counts.reshape(IGNORED + 1, IGNORED + 1)[:classes]
    return np.concatenate([table[:, :classes], table[:, classes:].sum(1, keepdims=True)], axis=1)


@dataclass(frozen=True)
class Areas:
    """Figures of a table (C, C + 1) from `area_table`, or of the sum of several."""

    table: NDArray[np.int64]

    @cached_property
    def right(self) -> NDArray[np.int64]:
        """(C,) correctly answered pixels of each class."""
        return np.diagonal(self.table)

    @cached_property
    def there(self) -> NDArray[np.int64]:
        """(C,) pixels that have each class."""
        return self.table.sum(axis=1)

    @cached_property
    def answered(self) -> NDArray[np.int64]:
        """(C,) pixels answered with each class, ignored ones excluded."""
        return self.table[:, :-1].sum(axis=0)

    @property
    def is_absent(self) -> NDArray[np.bool_]:
        """(C,): whether a class occurs neither in the masks nor in the answers."""
        return np.asarray(self.there + self.answered == 0)

    def ratios(self) -> list[Ratios]:
        """The ratios of every class."""
        found = zip(self.right.tolist(), self.there.tolist(), self.answered.tolist(), strict=True)
        return [
            Ratios(
                _share(right, there + answered - right),
                _share(right, answered),
                _share(right, there),
                _share(2 * right, there + answered),
            )
            for right, there, answered in found
        ]

    @property
    def miou(self) -> float | None:
        """The mean IoU of the classes that are not absent; None if all are."""
        return _mean([each.iou for each in self.ratios()])

    @property
    def mean_dice(self) -> float | None:
        """The mean Dice of the same classes as for mIoU."""
        return _mean([each.dice for each in self.ratios()])

    @property
    def accuracy(self) -> float | None:
        """The share of pixels that are right."""
        return _share(int(self.right.sum()), int(self.there.sum()))

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond what chance would give."""
        total = float(self.there.sum())
        if not total:
            return None
        by_chance = float((self.there / total * (self.answered / total)).sum())
        accuracy = float(self.right.sum()) / total
        return None if by_chance == 1 else (accuracy - by_chance) / (1 - by_chance)


def miou_of(
    right: NDArray[Any], there: NDArray[Any], answered: NDArray[Any]
) -> NDArray[np.float64]:
    """mIoU (...) from sums (..., C); NaN if no class occurs."""
    union = there + answered - right
    iou = np.divide(right, union, out=np.zeros(union.shape), where=union > 0)
    number = (union > 0).sum(axis=-1)
    return np.divide(iou.sum(axis=-1), number, out=np.full(number.shape, np.nan), where=number > 0)


def miou_interval(
    right: NDArray[np.int64], there: NDArray[np.int64], answered: NDArray[np.int64]
) -> Interval | None:
    """A 95 % interval of the mIoU, by a bootstrap over images; None if there are too few.

    The difference between the mean of the resamples and the mIoU is subtracted, and the interval
    contains the mIoU, as for a detector's AP.

    Args:
        right: (N, C) areas of each image, like the other two.
    """
    images = len(right)
    own = float(miou_of(right.sum(axis=0), there.sum(axis=0), answered.sum(axis=0)))
    if images < LEAST_IMAGES or np.isnan(own):
        return None
    generator = np.random.default_rng(0)
    values = []
    for _ in range(0, RESAMPLES, CHUNK):
        times = generator.multinomial(images, np.full(images, 1 / images), CHUNK).astype(float)
        values.append(miou_of(times @ right, times @ there, times @ answered))
    every = np.concatenate(values)
    every = every[~np.isnan(every)]
    low, high = np.percentile(every, [2.5, 97.5]) - (every.mean() - own)
    return Interval(max(0.0, min(own, float(low))), min(1.0, max(own, float(high))))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: list[float | None]) -> float | None:
    defined = [each for each in values if each is not None]
    return sum(defined) / len(defined) if defined else None
