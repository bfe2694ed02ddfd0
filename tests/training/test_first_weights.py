"""What a network from scratch begins with: nearly linear, without a preference for a class."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from pplcnet.data.dataset import Dataset
from pplcnet.models.build import build_model
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.first_weights import soften
from pplcnet.training.setup import build_trainable


def test_batchnorm_before_hard_swish_is_small_and_the_head_is_zero() -> None:
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32, dropout=0.2)
    soften(model, 0.2)
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert len(norms) == 27
    assert all((np.asarray(each.gamma) == np.float32(0.2)).all() for each in norms)
    images = np.random.default_rng(0).standard_normal((4, 32, 32, 3)).astype(np.float32)
    assert (np.asarray(model(images)) == 0).all()


def test_other_activations_keep_batchnorm_as_it_is() -> None:
    model = build_model("mobilenetv1_x0_25", num_classes=3, image_size=32)
    soften(model, 0.2)
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert norms
    assert all((np.asarray(each.gamma) == 1).all() for each in norms)


def test_training_from_scratch_begins_so_unless_the_recipe_says_otherwise(
    common_photos: Path,
) -> None:
    recipe = Recipe(model="pplcnet_x0_25", image_size=(32, 32), weights=None)
    scales = {}
    for scale in (0.3, 1.0):
        trainable = build_trainable(
            Dataset.open(common_photos),
            recipe.changed({"batchnorm_scale": scale}),
            report=print,
        )
        model = trainable.network
        scales[scale] = np.unique(np.asarray(model.get_layer("blocks4_0_dw_conv_bn").gamma))
        assert (np.abs(np.asarray(model.layers[-1].kernel)).max() > 0) == (scale == 1)
    assert {key: value.tolist() for key, value in scales.items()} == {
        0.3: [np.float32(0.3)],
        1.0: [1.0],
    }
