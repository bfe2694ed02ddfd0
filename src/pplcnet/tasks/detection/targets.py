"""The boxes of a data set in the form that training takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pplcnet.data.annotations import Boxes
from pplcnet.data.dataset import Dataset, LabelledImage

__all__ = ["BoxTargets"]


class BoxTargets:
    """For each photo (M, 5): x1, y1, x2, y2 as fractions of its width and height, and the class.

    M is the largest number of boxes on a photo, at least 1; the class is -1 in rows without a box.
    Coordinates are fractions because training keeps smaller copies of the photos. Crowds, which are
    not single objects, are left out.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._images = dataset.images
        self._most = max([1, *(len(_learned(image)[1]) for image in self._images)])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """The target (M, 5) of a photo."""
        places, classes = _learned(self._images[index])
        target = np.zeros((self._most, 5), np.float32)
        target[:, 4] = -1
        target[: len(classes), :4] = places
        target[: len(classes), 4] = classes
        return target


def _learned(image: LabelledImage) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Boxes (B, 4) as fractions of the photo's sides, and their classes (B,)."""
    said = image.annotation
    if not isinstance(said, Boxes):
        raise TypeError(f"{image.path}: a photo for detection needs boxes, not {said!r}")
    is_one = ~said.is_crowd
    sides: NDArray[np.float32] = np.asarray(said.size * 2, np.float32)
    return said.xyxy[is_one] / sides, said.classes[is_one]
