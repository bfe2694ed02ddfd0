"""Maps between an image and a network's input, to bring boxes and masks back to the image.

Coordinates are areas: pixel i of a row covers i to i + 1, and an image of `width` pixels 0 to
`width`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNKNOWN", "Geometry"]

UNKNOWN = 255
"""In a mask: the class of this pixel is unknown. Data sets also mark pixels to ignore with it."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an upright image was scaled and shifted: input = source * scale + offset on each axis.

    Pairs are (x, y), and sizes (width, height), as in Pillow; array shapes are (height, width), as
    usual.
    """

    size: tuple[int, int]
    """(width, height) of the full-size upright image, in pixels."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Input pixels per image pixel, along x and y."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Where the image's top left corner lies in the input, in input pixels; negative if the image
    was cropped."""

    def then(self, scale: tuple[float, float], offset: tuple[float, float]) -> Geometry:
        """This geometry followed by another scale and offset."""
        return Geometry(
            self.size,
            (self.scale[0] * scale[0], self.scale[1] * scale[1]),
            (self.offset[0] * scale[0] + offset[0], self.offset[1] * scale[1] + offset[1]),
        )

    def place_box(
        self, box: tuple[float, float, float, float], size: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        """A box (left, top, right, bottom) of the image, in the input of `size`, clipped."""
        left, top, right, bottom = (
            min(max(place * self.scale[at % 2] + self.offset[at % 2], 0.0), size[at % 2])
            for at, place in enumerate(box)
        )
        return left, top, right, bottom

    def boxes_back(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes in the input's pixels, mapped to the image's and clipped to the image.

        A box that lies wholly in the padding becomes one without area on the image's border.

        Args:
            xyxy: (N, 4) float32: left, top, right, bottom.

        Returns:
            (N, 4) float32.
        """
        # In double precision: far from the origin, the rounding errors of float32 add up.
        boxes = (xyxy - np.array([*self.offset] * 2)) / np.array([*self.scale] * 2)
        clipped: NDArray[np.float32] = boxes.clip(0, [*self.size] * 2).astype(np.float32)
        return clipped

    def mask_back(self, classes: NDArray[np.uint8], *, fill: int = UNKNOWN) -> NDArray[np.uint8]:
        """A class for each pixel of the image, from a class for each pixel of the input.

        Each image pixel takes the class of the input pixel that contains its centre.

        Args:
            classes: (h, w) uint8, at the resolution of the network's input.
            fill: the class of pixels that the network did not see, outside a "cover" crop.

        Returns:
            (height, width) uint8 of the upright image.
        """
        columns, seen_x = self._nearest(0, classes.shape[1])
        rows, seen_y = self._nearest(1, classes.shape[0])
        width, height = self.size
        mask: NDArray[np.uint8] = np.full((height, width), fill, np.uint8)
        mask[seen_y, seen_x] = classes[rows[:, None], columns]
        return mask

    def _nearest(self, axis: int, length: int) -> tuple[NDArray[np.int64], slice]:
        """The image pixels along x (0) or y (1) that the input shows, and the input pixel for each.

        `length` is that of the input. The image pixels form one slice.
        """
        centres = np.arange(self.size[axis]) + 0.5
        nearest = np.floor(centres * self.scale[axis] + self.offset[axis]).astype(np.int64)
        first, end = np.searchsorted(nearest, [0, length])
        return nearest[first:end], slice(first, end)
