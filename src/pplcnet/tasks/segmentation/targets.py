"""The masks of a data set as training takes them: each is read when its photo is shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import Mask
from pplcnet.data.dataset import Dataset

__all__ = ["MaskTargets", "balanced_weights", "read_mask", "resize_nearest"]


class MaskTargets:
    """For each photo its mask's file, which `read_mask` reads."""

    def __init__(self, dataset: Dataset) -> None:
        self._images = dataset.images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Mask:
        """The mask of a photo."""
        said = self._images[index].annotation
        if not isinstance(said, Mask):
            raise TypeError(
                f"{self._images[index].path}: a photo for segmentation needs a mask, not {said!r}"
            )
        return said


def read_mask(mask: Mask, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The classes (height, width) of a mask, for a picture of the photo of this size."""
    return np.ascontiguousarray(resize_nearest(mask.read(), size))


def resize_nearest(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) to (height, width): the class at the middle of each new pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.intp)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask if mask.shape == size else mask[rows][:, columns]


def balanced_weights(dataset: Dataset) -> list[float]:
    """The pixel weight of each class: pixels / (classes * pixels of the class)."""
    targets = MaskTargets(dataset)
    areas = np.zeros(len(dataset.classes), np.float64)
    for at in range(len(targets)):
        areas += targets[at].areas
    return [float(each) for each in areas.sum() / (len(areas) * np.maximum(areas, 1))]
