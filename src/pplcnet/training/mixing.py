"""What is done to a whole batch: mixup, CutMix, random erasing.

On uint8 images, before a teacher sees them: it answers to what the student is shown. Keras' layers
of these names draw from a state of their own, which would not survive an interruption.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.recipe.recipe import Recipe

__all__ = ["erase", "mix"]

Mixed = tuple[NDArray[np.uint8], NDArray[np.float32]]


def mix(
    images: NDArray[np.uint8],
    targets: NDArray[np.float32],
    recipe: Recipe,
    generator: np.random.Generator,
) -> Mixed:
    """Images (N, H, W, 3) and targets (N, T), mixed with one another as the recipe says.

    Every image is mixed with that of a shuffled batch, all by the same part, drawn from
    Beta(alpha, alpha) (Zhang et al. 2017; Yun et al. 2019).
    """
    ways = [(recipe.mixup, _mixup), (recipe.cutmix, _cutmix)]
    ways = [(alpha, way) for alpha, way in ways if alpha > 0]
    if not ways:
        return images, targets
    alpha, way = ways[generator.integers(len(ways))]
    part = float(generator.beta(alpha, alpha))
    partner = generator.permutation(len(images))
    mixed, part = way(images, partner, part, generator)
    return mixed, targets * np.float32(part) + targets[partner] * np.float32(1 - part)


def _mixup(
    images: NDArray[np.uint8], partner: NDArray[Any], part: float, _: np.random.Generator
) -> tuple[NDArray[np.uint8], float]:
    own = images.astype(np.float32) * np.float32(part)
    mixed = own + images[partner].astype(np.float32) * np.float32(1 - part)
    return np.rint(mixed).astype(np.uint8), part


def _cutmix(
    images: NDArray[np.uint8], partner: NDArray[Any], part: float, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], float]:
    """The rectangle's area is 1 - part of the image, less what its centre puts outside."""
    height, width = images.shape[1:3]
    top, bottom, left, right = _rectangle(height, width, math.sqrt(1 - part), generator)
    mixed = images.copy()
    mixed[:, top:bottom, left:right] = images[partner, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _rectangle(
    height: int, width: int, side: float, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    tall, wide = round(height * side), round(width * side)
    top = int(generator.integers(0, height)) - tall // 2
    left = int(generator.integers(0, width)) - wide // 2
    return max(0, top), min(height, top + tall), max(0, left), min(width, left + wide)


def erase(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A rectangle of 2 to 33 % of (H, W, 3) becomes noise (Zhong et al. 2017)."""
    height, width = image.shape[:2]
    for _ in range(10):
        area = height * width * generator.uniform(0.02, 0.33)
        aspect = math.exp(generator.uniform(math.log(0.3), math.log(1 / 0.3)))
        tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < tall < height and 0 < wide < width:
            top = int(generator.integers(0, height - tall + 1))
            left = int(generator.integers(0, width - wide + 1))
            erased = image.copy()
            noise = generator.integers(0, 256, (tall, wide, 3), np.uint8)
            erased[top : top + tall, left : left + wide] = noise
            return erased
    return image
