"""Mixup and CutMix of a batch.

Keras has layers of these names, but they keep their own random state, which an interruption would
lose. Images are mixed as uint8, so a teacher sees what the student sees.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mix"]

Mixed = tuple[NDArray[np.uint8], NDArray[np.float32]]


def mix(
    images: NDArray[np.uint8],
    targets: NDArray[np.float32],
    generator: np.random.Generator,
    *,
    mixup: float = 0.0,
    cutmix: float = 0.0,
) -> Mixed:
    """Images (N, H, W, 3) and targets (N, ...), each mixed with another of the batch.

    The mixing ratio, the same for all images, is drawn from Beta(alpha, alpha) (Zhang et al. 2017;
    Yun et al. 2019).

    Args:
        mixup: alpha; 0 for no mixup. With both, one of the two is picked at random.
        cutmix: alpha; 0 for no CutMix.
    """
    ways = [(alpha, way) for alpha, way in ((mixup, _mixup), (cutmix, _cutmix)) if alpha > 0]
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
    # Image by image: a whole batch in float does not fit into the CPU's caches.
    mixed = np.empty_like(images)
    own, other = (np.empty(images.shape[1:], np.float32) for _ in range(2))
    for at, of_partner in enumerate(partner):
        np.multiply(images[at], np.float32(part), out=own)
        np.multiply(images[of_partner], np.float32(1 - part), out=other)
        np.add(own, other, out=own)
        mixed[at] = np.rint(own, out=own)
    return mixed, part


def _cutmix(
    images: NDArray[np.uint8], partner: NDArray[Any], part: float, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], float]:
    """The rectangle's area is 1 - part of the image, less what falls outside it."""
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
