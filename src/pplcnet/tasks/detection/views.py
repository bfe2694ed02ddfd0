"""Random views of a photo with its boxes: cropped, mirrored, changed in colour.

PicoDet's augmentation (PaddleDetection): a crop that keeps at least one object, a mirror image,
changes of colour, and a resize to the batch's size with a random filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.imaging.acceleration import optional_module
from pplcnet.imaging.colour_changes import change_colour
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.detection.options import DetectionOptions
from pplcnet.tasks.detection.suppression import overlaps

if TYPE_CHECKING:  # it imports Keras, which processes that only make views do not need
    from pplcnet.tasks.task_training import ImageSize

__all__ = ["crop_with_object", "random_box_view"]

Floats = NDArray[np.float32]

# The least IoU that some box must have with the crop, or None for the uncropped photo; tried in
# random order.
LEAST_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)
TRIES = 50
_PILLOW = (
    Image.Resampling.NEAREST,
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
_OPENCV = ("INTER_NEAREST", "INTER_LINEAR", "INTER_AREA", "INTER_CUBIC", "INTER_LANCZOS4")


def random_box_view(
    image: NDArray[np.uint8],
    target: Floats,
    size: ImageSize,
    recipe: Recipe,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], Floats]:
    """A random crop of the photo, stretched to the size, perhaps mirrored, with colours changed.

    Args:
        image: (H, W, 3).
        target: (M, 5): x1, y1, x2, y2 as fractions of the photo's width and height, and the class,
            which is negative in rows without a box.
        size: height and width of the view.
        recipe: sets the range of the crops' areas, as fractions of the photo's, and aspects.
        generator: the source of all random draws.

    Returns:
        The pixels, and the remaining boxes (M, 5) in pixels of the view, with class -1 in the other
        rows.
    """
    sides: Floats = np.asarray([image.shape[1], image.shape[0]] * 2, np.float32)
    boxes = target[target[:, 4] >= 0]
    left, top, right, bottom = crop_with_object(boxes[:, :4] * sides, sides[:2], recipe, generator)
    image = image[top:bottom, left:right]
    shift: Floats = np.asarray([left, top] * 2, np.float32)
    scale: Floats = np.asarray([size[1] / (right - left), size[0] / (bottom - top)] * 2, np.float32)
    places = boxes[:, :4] * sides - shift
    limits: Floats = np.asarray([right - left, bottom - top], np.float32)
    middles = (places[:, :2] + places[:, 2:]) / 2
    is_kept = ((middles >= 0) & (middles <= limits)).all(axis=1)
    places = np.clip(places[is_kept] * scale, 0, [size[1], size[0]] * 2)
    if recipe.horizontal_flip and generator.random() < 0.5:
        image = image[:, ::-1]
        places[:, [0, 2]] = size[1] - places[:, [2, 0]]
    if recipe.options_as(DetectionOptions).colour_changes:
        image = change_colour(image, generator)
    found = np.full_like(target, 0)
    found[:, 4] = -1
    found[: len(places), :4], found[: len(places), 4] = places, boxes[is_kept, 4]
    return _resized(image, size, int(generator.integers(len(_PILLOW)))), found


def crop_with_object(
    boxes: Floats, sides: Floats, recipe: Recipe, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom, in whole pixels, of a crop that contains an object's centre.

    A required overlap with some box is drawn, then TRIES crops, and the first crop that meets it is
    taken. If none does, another overlap is drawn; None takes the whole photo.

    Args:
        boxes: (B, 4) in pixels.
        sides: (2,): the photo's width and height in pixels.
    """
    width, height = (int(side) for side in sides)
    whole = 0, 0, width, height
    if not len(boxes) or recipe.crop_scale[0] == 1:
        return whole
    for at in generator.permutation(len(LEAST_OVERLAPS)):
        least = LEAST_OVERLAPS[at]
        if least is None:
            return whole
        crops = _drawn_crops(width, height, recipe, generator)
        is_met = (overlaps(boxes, crops).max(axis=0) >= least) & _centres_in(boxes, crops)
        if is_met.any():
            left, top, right, bottom = crops[int(is_met.argmax())].tolist()
            return left, top, right, bottom
    return whole


def _drawn_crops(
    width: int, height: int, recipe: Recipe, generator: np.random.Generator
) -> NDArray[np.int64]:
    """(TRIES, 4): random crops in whole pixels.

    A crop has u sqrt(a) of the width and u / sqrt(a) of the height, u and a uniformly distributed;
    u * u is its fraction of the area.
    """
    (smallest, largest), (narrowest, widest) = recipe.crop_scale, recipe.crop_ratio
    part = generator.uniform(smallest**0.5, largest**0.5, TRIES)
    # Bounds that keep each side within the photo's.
    aspect = generator.uniform(
        np.clip(narrowest, part**2, 1 / part**2), np.clip(widest, part**2, 1 / part**2)
    )
    wide = np.clip(np.rint(width * part * np.sqrt(aspect)), 1, width).astype(np.int64)
    tall = np.clip(np.rint(height * part / np.sqrt(aspect)), 1, height).astype(np.int64)
    left = generator.integers(0, width - wide + 1)
    top = generator.integers(0, height - tall + 1)
    return np.stack([left, top, left + wide, top + tall], axis=1)


def _centres_in(boxes: Floats, crops: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(TRIES,): whether a crop contains the centre of some box."""
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]
    inside = (centres >= crops[None, :, :2]) & (centres <= crops[None, :, 2:])
    return np.asarray(inside.all(axis=-1).any(axis=0))


def _resized(pixels: NDArray[np.uint8], size: ImageSize, filter_at: int) -> NDArray[np.uint8]:
    """The pixels stretched by the filter of this index: OpenCV's, if it is installed."""
    height, width = size
    opencv = optional_module("cv2")
    if opencv is not None:
        method = getattr(opencv, _OPENCV[filter_at])
        return np.asarray(
            opencv.resize(np.ascontiguousarray(pixels), (width, height), interpolation=method)
        )
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), _PILLOW[filter_at]))
