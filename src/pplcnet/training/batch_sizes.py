"""The image size of each batch, determined by the recipe, the seed, the epoch and the step."""

from __future__ import annotations

import numpy as np

from pplcnet.recipe.recipe import Recipe

__all__ = ["size_of_batch", "sizes_of_batches"]

STEP = 32
"""Pixels between neighbouring sizes in multi-scale training."""
# Keeps these random numbers independent of those for images and for mixing.
SIZES = 1 << 21


def size_of_batch(recipe: Recipe, epoch: int, step: int) -> tuple[int, int]:
    """Height and width of a batch. Past the last epoch, it is the recipe's own size."""
    size = recipe.size_in_epoch(epoch)
    most = recipe.options.multi_scale
    if not most or epoch >= recipe.epochs:
        return size
    generator = np.random.default_rng((recipe.seed, epoch, step, SIZES))
    return _changed(size, int(generator.integers(-most, most + 1)))


def sizes_of_batches(recipe: Recipe) -> set[tuple[int, int]]:
    """All sizes that `size_of_batch` can return."""
    most = recipe.options.multi_scale
    whole = {recipe.size_in_epoch(epoch) for epoch in range(recipe.epochs)}
    return {_changed(size, steps) for size in whole for steps in range(-most, most + 1)}


def _changed(size: tuple[int, int], steps: int) -> tuple[int, int]:
    height, width = (max(STEP, side + steps * STEP) if steps else side for side in size)
    return height, width
