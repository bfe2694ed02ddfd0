"""Batches: the same for the same seed, epoch and image, whatever runs beside or before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.batches import TrainingBatches, load_for_evaluation

PREPROCESSING = Preprocessing(image_size=(24, 32))


def _batches(photos: Path, **fields: object) -> TrainingBatches:
    recipe = Recipe().changed({"image_size": [24, 32], "batch_size": 8} | fields)
    return TrainingBatches(Dataset.open(photos), recipe, PREPROCESSING)


def test_an_epoch_has_full_batches_of_pixels(common_photos: Path) -> None:
    batches = _batches(common_photos)
    assert batches.steps_per_epoch == 4
    found = list(batches.epoch(0))
    assert len(found) == 4
    for images, targets in found:
        assert (images.shape, images.dtype) == ((8, 24, 32, 3), np.uint8)
        assert (targets.shape, targets.dtype) == ((8, 3), np.float32)
    assert 20 < np.concatenate([each.images for each in found]).mean() < 200


def test_the_same_whatever_the_workers_the_cache_and_what_ran_before(common_photos: Path) -> None:
    first = list(_batches(common_photos, workers=1, cache_gigabytes=0.0).epoch(3))
    other = _batches(common_photos, workers=3)
    list(other.epoch(0))
    for one, two in zip(first, other.epoch(3), strict=True):
        np.testing.assert_array_equal(one.images, two.images)
        np.testing.assert_array_equal(one.targets, two.targets)


def test_going_on_within_an_epoch_gives_the_rest_of_it(common_photos: Path) -> None:
    batches = _batches(common_photos)
    whole, rest = list(batches.epoch(1)), list(batches.epoch(1, first_step=2))
    assert len(rest) == 2
    np.testing.assert_array_equal(whole[2].images, rest[0].images)


def test_epochs_and_seeds_differ(common_photos: Path) -> None:
    batches = _batches(common_photos)
    views = [next(iter(batches.epoch(0))).images, next(iter(batches.epoch(1))).images,
             next(iter(_batches(common_photos, seed=1).epoch(0))).images]  # fmt: skip
    assert not np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


def test_fewer_images_than_a_batch(common_photos: Path) -> None:
    batches = _batches(common_photos, batch_size=500)
    assert (batches.batch_size, batches.steps_per_epoch) == (36, 1)


def test_a_broken_image_stops_the_epoch_by_name(photos: Path) -> None:
    (photos / "class_0" / "004.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"004\.png"):
        list(_batches(photos, workers=2).epoch(0))


def test_validation_sees_what_the_deployed_model_will(common_photos: Path) -> None:
    dataset = Dataset.open(common_photos)
    images = load_for_evaluation(dataset.images, PREPROCESSING, workers=2)
    assert images.shape == (36, 24, 32, 3)
    np.testing.assert_array_equal(images[7], PREPROCESSING(dataset.images[7].path))


def test_balanced_sampling_shows_every_class_equally_often(common_photos: Path) -> None:
    dataset = Dataset.open(common_photos)
    rare = [each for at, each in enumerate(dataset.images) if each.shown[0] or at < 2]
    dataset = dataset.keep(rare)
    recipe = Recipe().changed({"image_size": 8, "batch_size": 9, "balanced_sampling": True})
    batches = TrainingBatches(dataset, recipe, PREPROCESSING)
    shown = sum(batch.targets.sum(axis=0) for epoch in range(20) for batch in batches.epoch(epoch))
    assert shown.min() / shown.max() > 0.7
    assert dataset.class_counts()[0] == 2
