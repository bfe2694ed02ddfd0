"""Random views of training images, determined by the seed, the epoch and the image alone.

Nothing here imports Keras, so processes that only prepare images start at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.kept import keep_for_crops
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.image_cache import ImageCache

if TYPE_CHECKING:
    from pplcnet.tasks.task_training import View

__all__ = ["Views"]


class Views:
    """Makes views of the training images; thread-safe."""

    def __init__(
        self,
        paths: Sequence[Path],
        view: View,
        recipe: Recipe,
        side: int,
        image_cache: ImageCache,
        *,
        read_target: Callable[[Any, tuple[int, int]], NDArray[np.uint8]] | None = None,
    ) -> None:
        """Views of the images in `paths`.

        Args:
            view: the task's.
            side: short side, in pixels, of the pictures that crops are taken from.
            image_cache: for these pictures and the targets that are read.
            read_target: the task's.
        """
        self.paths, self.view, self.recipe, self.side = paths, view, recipe, side
        self.image_cache, self.read_target = image_cache, read_target

    def show(
        self,
        member: int,
        target: Any,
        *,
        epoch: int,
        size: tuple[int, int],
        place: int,
    ) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """A view of one image, (height, width, 3), and its target, transformed together.

        Args:
            member: the image's index in `paths`.
            place: its place among all images of the epoch.
        """
        # An image that occurs more than once in an epoch gets a different view every time.
        options = self.recipe.options
        drawn = (place,) if options.balanced_sampling or options.passes > 1 else ()
        generator = np.random.default_rng((self.recipe.seed, epoch, member, *drawn))
        picture = self._picture(member)
        read = self.read_target
        if read is not None:
            of_file, (height, width) = target, picture.shape[:2]
            key = (self.paths[member], ("target", height, width))
            target = self.image_cache.get(key, lambda: read(of_file, (height, width)))
        return self.view(picture, target, size, self.recipe, generator)

    def _picture(self, member: int) -> NDArray[np.uint8]:
        path, side = self.paths[member], self.side
        return self.image_cache.get((path, side), lambda: keep_for_crops(path, side))
