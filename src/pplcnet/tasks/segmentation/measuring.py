"""The counts that are taken from the answer to one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.masks import Mask
from pplcnet.tasks.segmentation.areas import area_table
from pplcnet.tasks.segmentation.boundaries import border_counts
from pplcnet.tasks.segmentation.regions import Regions, regions_of

__all__ = ["Measured", "joined_regions", "largest_mistake", "measure"]


class Measured(NamedTuple):
    """The counts for the answer to one image."""

    table: NDArray[np.int64]
    """(C, C + 1) from `area_table`."""
    borders: NDArray[np.int64]
    """(C, 4) from `border_counts`."""
    regions: Regions


def measure(truth: Mask, answer: NDArray[np.uint8], classes: int) -> Measured:
    """The counts for one image; reads its mask."""
    drawn = truth.read()
    return Measured(
        area_table(drawn, answer, classes),
        border_counts(drawn, answer, classes),
        regions_of(drawn, answer),
    )


def joined_regions(regions: Sequence[Regions]) -> Regions:
    """The regions of several images as one."""
    none = Regions(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))
    return Regions(*(np.concatenate(each) for each in zip(none, *regions, strict=True)))


def largest_mistake(table: NDArray[np.int64], classes: Sequence[str]) -> str:
    """The largest off-diagonal entry in words; "" for none."""
    wrong = table.copy()
    np.fill_diagonal(wrong, 0)
    there, answered = np.unravel_index(int(wrong.argmax()), wrong.shape)
    if not wrong[there, answered]:
        return ""
    share = wrong[there, answered] / table.sum()
    names = [*classes, "nothing"]
    return f"{names[there]} answered as {names[answered]} on {share:.1%} of the pixels"
