"""The range test and the search for wrong labels train on the pictures that their audit decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.imaging.kept import keep_for_crops
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.rate_test import find_learning_rate
from pplcnet.runs.suspects import find_suspects
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.pictures import preprocessing_of, side_of

RECIPE = Recipe(model="pplcnet_x0_25", image_size=32, weights=None)


class _SeenError(Exception):
    pass


def _missing() -> NDArray[np.uint8]:
    raise AssertionError("decoded again")


def _take(cache: ImageCache, path: Path) -> NDArray[np.uint8]:
    """What training asks for, which must be there already."""
    return cache.get((path, side_of(RECIPE)), _missing)


def test_the_range_test_gets_the_pictures_of_the_training_images_alone(
    common_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_range_test(train_set: Dataset, recipe: Recipe, *, image_cache: ImageCache, **_: Any):
        for image in train_set.images:
            np.testing.assert_array_equal(
                _take(image_cache, image.path), keep_for_crops(image.path, side_of(RECIPE))
            )
        pictures = [_take(image_cache, image.path) for image in train_set.images]
        assert image_cache.kept_bytes == sum(each.nbytes for each in pictures)
        raise _SeenError

    monkeypatch.setattr("pplcnet.training.learning_rates.run_range_test", run_range_test)
    with pytest.raises(_SeenError):
        find_learning_rate(common_photos, RECIPE, tmp_path / "run")


def test_the_folds_of_suspects_get_the_pictures_of_all_images(
    common_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_fold(context: Any, dataset: Dataset, *_: Any) -> None:
        for image in dataset.images:
            _take(context.image_cache, image.path)
            validated = context.image_cache.get((image.path, preprocessing_of(RECIPE)), _missing)
            np.testing.assert_array_equal(validated, preprocessing_of(RECIPE)(image.path))
        raise _SeenError

    monkeypatch.setattr("pplcnet.runs.suspects.train_fold", train_fold)
    with pytest.raises(_SeenError):
        find_suspects(common_photos, RECIPE, tmp_path / "run", folds=2)
