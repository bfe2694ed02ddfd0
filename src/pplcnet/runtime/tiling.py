"""Find small objects in large photos by predicting overlapping tiles, at their own resolution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from os import PathLike

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ImageError
from pplcnet.imaging.decoding import ImageSource, decode_image, size_of
from pplcnet.imaging.windows import OVERLAP, as_array, sides_of, stride_of, windows_of_image
from pplcnet.runtime.model import Model
from pplcnet.runtime.sources import describe, predicted_in_turn, read_once
from pplcnet.tasks.detection.decoding import Detections, suppression_of

__all__ = ["Tiled", "Tiles", "tiles_of"]


@dataclass(frozen=True, slots=True)
class Tiles:
    """How to cut a photo into tiles, in its own pixels."""

    size: tuple[int, int]
    """(height, width) of a tile."""
    stride: tuple[int, int]
    """(down, to the right) from one tile to the next."""


def tiles_of(given: int | tuple[int, int], overlap: float = OVERLAP) -> Tiles:
    """Tiles with sides of `given` pixels, or (height, width).

    Args:
        overlap: of neighbouring tiles, as a fraction of their sides.

    Raises:
        InputError: a side is not from 32 to 16384 pixels, or the overlap not from 0 to 0.9.
    """
    size = sides_of(given, "tiles")
    return Tiles(size, stride_of(size, overlap))


@dataclass(frozen=True, slots=True)
class Tiled:
    """A detector that looks at photos in tiles; predicts like a `Model`."""

    model: Model[Detections]
    tiles: Tiles

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.model.manifest

    def predict(self, image: ImageSource) -> Detections:
        """Find the objects in an image, as a whole and in tiles.

        An image no larger than a tile is only predicted as a whole. Besides the decoded
        image, a few tiles at a time are in memory.

        Raises:
            ImageError: the image cannot be used.
            InputError: the image would be cut into too many tiles.
        """
        name = describe(image)
        try:
            content = read_once(image)
            whole = replace(self.model.predict(content), source=name)
            decoded = decode_image(content).image
        except ImageError as error:
            raise ImageError(name, error.reason) from error
        (height, width), (down, right) = self.tiles.size, self.tiles.stride
        size = size_of(decoded)
        windows = windows_of_image(size, (height, width), (down, right), name, noun="tiles")
        if len(windows) == 1:
            return whole
        pixels = as_array(decoded)
        del decoded  # for a large image, the array does not share Pillow's memory
        parts = self.model.predict_many(
            (pixels[window.top : window.bottom, window.left : window.right] for window in windows),
        )
        return whole.merged_with(
            list(parts),
            windows,
            size=size,
            overlap=(height - down, width - right),
            iou_threshold=suppression_of(self.manifest)["iou_threshold"],
        )

    def predict_many(
        self, images: Iterable[ImageSource] | str | PathLike[str]
    ) -> Iterator[Detections]:
        """Find the objects in any number of images, one after the other.

        An image that cannot be used yields a prediction with an error.

        Raises:
            InputError: as `predict` and `Model.predict_many`.
        """
        return predicted_in_turn(images, self.predict, Detections)
