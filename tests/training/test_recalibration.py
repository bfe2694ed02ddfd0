"""BatchNorm is measured again over parts of training images, the same every time."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.models.build import build_model
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.training import recalibration
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.recalibration import Recalibration, recalibrate


def test_recalibration_takes_the_mean_of_the_batches_statistics() -> None:
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32, dropout=0.0)
    generator = np.random.default_rng(0)
    batches = [generator.normal(at, 1, (8, 32, 32, 3)).astype(np.float32) for at in range(3)]
    recalibrate(model, batches)
    first = model.get_layer("conv1_conv")
    features = [np.asarray(keras.Model(model.input, first.output)(each)) for each in batches]
    mean = np.mean([each.mean(axis=(0, 1, 2)) for each in features], axis=0)
    np.testing.assert_allclose(model.get_layer("conv1_bn").moving_mean, mean, atol=1e-4)
    assert model.get_layer("conv1_bn").momentum != 0


@pytest.mark.parametrize("most_kept", [recalibration.MOST_KEPT, 0])
def test_views_are_made_once_where_there_is_room_and_are_the_same_where_there_is_none(
    common_photos: Path, monkeypatch: pytest.MonkeyPatch, most_kept: int
) -> None:
    monkeypatch.setattr(recalibration, "MOST_KEPT", most_kept)
    recipe = Recipe(
        model="pplcnet_x0_25", image_size=32, batch_size=9, epochs=3, dropout=0.5,
        recalibrate_batchnorm=18, weights=None, mixup=0.3,
    )  # fmt: skip
    preprocessing = preprocessing_of(recipe)
    batches = TrainingBatches(Dataset.open(common_photos), recipe, preprocessing)
    made: list[int] = []
    epoch = batches.epoch

    def counted(number: int):
        made.append(number)
        return epoch(number)

    monkeypatch.setattr(batches, "epoch", counted)
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32, dropout=0.5)
    measure = Recalibration(model, batches, recipe, preprocessing)
    found = []
    for _ in range(2):
        measure()
        found.append(value_of(model.get_layer("blocks6_1_pw_conv_bn").moving_variance))
    np.testing.assert_array_equal(*found)
    assert made == ([3] if most_kept else [3, 3])


def test_large_images_go_in_smaller_parts(
    common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(
        model="pplcnet_x0_25", image_size=32, batch_size=9, weights=None, recalibrate_batchnorm=18
    )
    preprocessing = preprocessing_of(recipe)
    batches = TrainingBatches(Dataset.open(common_photos), recipe, preprocessing)
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    seen: list[int] = []
    monkeypatch.setattr(
        recalibration, "_forward", lambda _: lambda images: seen.append(len(images))
    )
    for pixels, expected in ((64, [18]), (6, [6, 6, 6]), (1, [6, 6, 6])):
        monkeypatch.setattr(recalibration, "AT_ONCE_PIXELS", pixels * 32 * 32)
        monkeypatch.setattr(recalibration, "LEAST_AT_ONCE", 5)
        seen.clear()
        Recalibration(model, batches, recipe, preprocessing)()
        assert seen == expected


def test_nothing_is_measured_where_the_recipe_says_so(common_photos: Path) -> None:
    recipe = Recipe(model="pplcnet_x0_25", image_size=32, batch_size=9, recalibrate_batchnorm=0)
    preprocessing = preprocessing_of(recipe)
    batches = TrainingBatches(Dataset.open(common_photos), recipe, preprocessing)
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    before = value_of(model.get_layer("conv1_bn").moving_mean)
    Recalibration(model, batches, recipe, preprocessing)()
    np.testing.assert_array_equal(value_of(model.get_layer("conv1_bn").moving_mean), before)
