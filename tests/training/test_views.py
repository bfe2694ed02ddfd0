"""Views of training images: with targets that are files beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pplcnet.data.dataset import Dataset
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.views import random_view
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.views import Views


def test_a_target_that_is_a_file_is_read_once_at_the_picture_s_size(common_photos: Path) -> None:
    paths = [image.path for image in Dataset.open(common_photos).images[:2]]
    read: list[tuple[str, tuple[int, int]]] = []

    def read_target(target: str, size: tuple[int, int]) -> np.ndarray:
        read.append((target, size))
        return np.full(size, len(read), np.uint8)

    with ImageCache(gigabytes=1) as cache:
        views = Views(paths, random_view, Recipe(), 32, cache, read_target=read_target)
        for epoch in range(2):
            for member, name in enumerate("ab"):
                _, target = views.show(member, name, epoch=epoch, size=(24, 24), place=member)
                assert (target == member + 1).all()
                assert target.shape == read[member][1]
    assert [name for name, _ in read] == ["a", "b"]
