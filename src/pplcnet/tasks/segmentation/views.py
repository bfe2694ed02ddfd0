"""Random views of a photo with its mask: scaled, cropped, mirrored, changed in colour.

PaddleSeg's augmentation in its order, applied to the mask as well: scaling, padding at the right
and bottom if the photo is then smaller than the crop, cropping, mirroring, changes of colour. At
scale 1 and without cropping, the view is the photo as evaluation sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.data.masks import IGNORED
from pplcnet.imaging.colour_changes import change_colour
from pplcnet.imaging.resizing import resize_bilinear
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.segmentation.options import SegmentationOptions
from pplcnet.tasks.segmentation.targets import resize_nearest

if TYPE_CHECKING:  # it imports Keras, which processes that only make views do not need
    from pplcnet.tasks.task_training import ImageSize

__all__ = ["PADDING", "random_mask_view"]

PADDING = 127
"""The pixel value that pads a photo smaller than the crop."""
TRIES = 10
LEAST_LABELLED = 0.1
"""The fraction of a crop's pixels that should have a class."""

Pixels = NDArray[np.uint8]


class _Window(NamedTuple):
    """A part of a picture, in whole pixels; it may end beyond the picture."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: Pixels) -> Pixels:
        """The part of a picture that the window covers."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def random_mask_view(
    image: Pixels,
    target: Pixels,
    size: ImageSize,
    recipe: Recipe,
    generator: np.random.Generator,
) -> tuple[Pixels, Pixels]:
    """A random crop of the photo at a random scale, with its mask.

    Args:
        image: (H, W, 3).
        target: (H, W) classes, IGNORED where there is none.
        size: height and width of the view.
        recipe: sets the scales and what else is changed.
        generator: the source of all random draws.

    Returns:
        The pixels (height, width, 3), and their classes (height, width).
    """
    options = recipe.options_as(SegmentationOptions)
    window = _drawn_window(target, recipe, options, generator)
    pixels, classes = _shown(image, target, window, size)
    if recipe.horizontal_flip and generator.random() < 0.5:
        pixels, classes = pixels[:, ::-1], classes[:, ::-1]
    if options.vertical_flip and generator.random() < 0.5:
        pixels, classes = pixels[::-1], classes[::-1]
    if options.rotation:
        angle = float(generator.uniform(-options.rotation, options.rotation))
        pixels, classes = _turned(pixels, classes, angle)
    if options.colour_jitter:
        pixels = change_colour(pixels, generator, options.colour_jitter)
    return pixels, classes


def _drawn_window(
    mask: Pixels, recipe: Recipe, options: SegmentationOptions, generator: np.random.Generator
) -> _Window:
    """The first of TRIES at one scale with enough labelled pixels, or the one with the most."""
    scale = _drawn_scale(options, generator)
    evaluated = _evaluated_sides(mask.shape, recipe)
    height, width = (
        max(1, round(side * cropped / (whole * scale)))
        for side, cropped, whole in zip(mask.shape, recipe.crop_size, evaluated, strict=True)
    )
    tried: list[tuple[float, _Window]] = []
    for _ in range(TRIES):
        top = int(generator.integers(0, max(0, mask.shape[0] - height) + 1))
        left = int(generator.integers(0, max(0, mask.shape[1] - width) + 1))
        window = _Window(top, left, height, width)
        tried.append((float((window.of(mask) != IGNORED).mean()), window))
        if tried[-1][0] >= LEAST_LABELLED:
            break
    return max(tried)[1]


def _evaluated_sides(shape: tuple[int, ...], recipe: Recipe) -> tuple[float, float]:
    """Height and width of the whole photo in evaluation, in pixels of the network's input."""
    height, width = recipe.test_image_size or recipe.image_size
    if recipe.resize == "stretch":
        return height, width
    scale = max(height / shape[0], width / shape[1]) / recipe.crop_fraction
    return shape[0] * scale, shape[1] * scale


def _drawn_scale(options: SegmentationOptions, generator: np.random.Generator) -> float:
    least, greatest = options.scales
    if not options.scale_step:
        return float(generator.uniform(least, greatest))
    # Without the tiny addition, rounding could lose the last step.
    steps = int((greatest - least) / options.scale_step + 1e-6)
    return least + options.scale_step * int(generator.integers(0, steps + 1))


def _shown(image: Pixels, mask: Pixels, window: _Window, size: ImageSize) -> tuple[Pixels, Pixels]:
    """The window, resized to the view's size; padded where it extends beyond the photo."""
    part, classes = window.of(image), window.of(mask)
    height = max(1, round(size[0] * part.shape[0] / window.height))
    width = max(1, round(size[1] * part.shape[1] / window.width))
    part = resize_bilinear(np.ascontiguousarray(part), (width, height))
    classes = resize_nearest(classes, (height, width))
    if (height, width) == size:
        return part, classes
    pixels = np.full((*size, 3), PADDING, np.uint8)
    pixels[:height, :width] = part
    padded = np.full(size, IGNORED, np.uint8)
    padded[:height, :width] = classes
    return pixels, padded


def _turned(pixels: Pixels, classes: Pixels, angle: float) -> tuple[Pixels, Pixels]:
    """Image and mask rotated about the centre; pixels from outside are padding."""
    turned = Image.fromarray(np.ascontiguousarray(pixels)).rotate(
        angle, Image.Resampling.BILINEAR, fillcolor=(PADDING,) * 3
    )
    mask = Image.fromarray(np.ascontiguousarray(classes)).rotate(
        angle, Image.Resampling.NEAREST, fillcolor=IGNORED
    )
    return np.asarray(turned), np.asarray(mask)
