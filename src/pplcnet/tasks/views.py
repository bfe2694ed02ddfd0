"""Random views for training, for tasks whose target holds for any part of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.augmentation import augment_image, erase_rectangle, random_resized_crop
from pplcnet.recipe.recipe import Recipe

if TYPE_CHECKING:  # it imports Keras, which processes that only make views do not need
    from pplcnet.tasks.task_training import ImageSize

__all__ = ["random_view"]


def random_view(
    image: NDArray[np.uint8],
    target: NDArray[np.float32],
    size: ImageSize,
    recipe: Recipe,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A random crop of the image, perhaps mirrored, then augmented and perhaps partly erased."""
    image = random_resized_crop(
        image,
        size,
        scale=recipe.crop_scale,
        ratio=recipe.crop_ratio,
        horizontal_flip=recipe.horizontal_flip,
        generator=generator,
    )
    image = augment_image(
        image,
        recipe.augment,
        generator,
        operations=recipe.augment_operations,
        magnitude=recipe.augment_magnitude,
    )
    if recipe.random_erasing and generator.random() < recipe.random_erasing:
        image = erase_rectangle(image, generator)
    return image, target
