"""Small objects in large photos: found in overlapping tiles, which are seen in their own pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pplcnet.errors import ImageError, InputError
from pplcnet.imaging.decoding import ImageSource, decode_image, size_of
from pplcnet.imaging.files import read_image_file
from pplcnet.imaging.windows import as_array, windows_over
from pplcnet.runtime.model import Model
from pplcnet.runtime.sources import describe
from pplcnet.tasks.detection.decoding import Detections, suppression_of

__all__ = ["OVERLAP", "Tiles", "predict_in_tiles", "predict_many_in_tiles", "tiles_of"]

OVERLAP = 0.25
MIN_SIDE, MAX_SIDE, MAX_TILES = 32, 16_384, 20_000


@dataclass(frozen=True, slots=True)
class Tiles:
    """How a photo is cut."""

    height: int
    width: int
    """Of a tile, in pixels of the photo."""
    overlap: float = OVERLAP
    """Of neighbouring tiles, as a part of their sides."""

    def __post_init__(self) -> None:
        if not all(MIN_SIDE <= side <= MAX_SIDE for side in (self.height, self.width)):
            raise InputError(
                f"tiles of {self.height}x{self.width}; each side must be from {MIN_SIDE} to "
                f"{MAX_SIDE} pixels of the photo."
            )
        if not 0 <= self.overlap <= 0.9:
            raise InputError(f"an overlap of {self.overlap}; it must be from 0 to 0.9.")

    @property
    def stride(self) -> tuple[int, int]:
        """(down, to the right) from one tile to the next, in pixels."""
        sides = self.height, self.width
        down, right = (max(1, round(side * (1 - self.overlap))) for side in sides)
        return down, right


def tiles_of(given: int | tuple[int, int], overlap: float = OVERLAP) -> Tiles:
    """Tiles of a side, or of (height, width); InputError for what they cannot be."""
    sides = (given, given) if isinstance(given, int | np.integer) else tuple(given)
    if len(sides) != 2 or not all(
        isinstance(side, int | np.integer) and not isinstance(side, bool) for side in sides
    ):
        raise InputError(f"tiles is {given!r}; it must be a number of pixels, or (height, width).")
    return Tiles(int(sides[0]), int(sides[1]), overlap)


def predict_in_tiles(model: Model[Detections], image: ImageSource, tiles: Tiles) -> Detections:
    """What a detector finds in an image that is looked at as a whole and in tiles.

    An image that is no larger than a tile is only looked at as a whole. Besides the decoded image,
    memory holds a few tiles at a time.

    Raises:
        ImageError: the image cannot be used.
        InputError: the image would be cut into too many tiles.
    """
    name = describe(image)
    content = image if isinstance(image, np.ndarray | Image.Image) else read_image_file(image)
    try:
        whole = replace(model.predict(content), source=name)
        decoded = decode_image(content).image
    except ImageError as error:
        raise ImageError(name, error.reason) from error
    size = size_of(decoded)
    windows = windows_over((size[1], size[0]), (tiles.height, tiles.width), tiles.stride)
    if len(windows) == 1:
        return whole
    if len(windows) > MAX_TILES:
        raise InputError(
            f"{name}: {size[0]}x{size[1]} pixels are {len(windows):,} tiles of "
            f"{tiles.width}x{tiles.height}; at most {MAX_TILES:,} are looked at. Take larger ones."
        )
    pixels = as_array(decoded)
    del decoded  # of a large image, Pillow's memory is not the array's
    parts = model.predict_many(
        pixels[top:bottom, left:right] for left, top, right, bottom in windows
    )
    down, right = tiles.stride
    return whole.merged_with(
        list(parts),
        windows,
        size=size,
        overlap=(tiles.height - down, tiles.width - right),
        iou_threshold=suppression_of(model.manifest)["iou_threshold"],
    )


def predict_many_in_tiles(
    model: Model[Detections], images: Iterator[ImageSource], tiles: Tiles
) -> Iterator[Detections]:
    """As `predict_in_tiles`, one image after the other; one that cannot be used has an error."""
    for image in images:
        try:
            yield predict_in_tiles(model, image, tiles)
        except ImageError as error:
            yield Detections(describe(image), error)
