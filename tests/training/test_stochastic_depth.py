"""Stochastic depth skips blocks in training, and only those with a shortcut."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.errors import RecipeError
from pplcnet.models.build import build_model
from pplcnet.models.variables import value_of
from pplcnet.training.stochastic_depth import with_stochastic_depth
from pplcnet.weights import native


def test_stochastic_depth_skips_in_training_only() -> None:
    model = build_model("mobilenetv3_small_x0_35", num_classes=3, image_size=32, dropout=0.0)
    deep = with_stochastic_depth(model, 0.9)
    images = np.random.default_rng(0).standard_normal((4, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(deep(images), model(images), atol=1e-5)
    values = native.get_values(model)
    assert {id(each) for each in model.trainable_variables} == {
        id(each) for each in deep.trainable_variables
    }
    first = np.asarray(deep(images, training=True))
    native.set_values(model, values, source="test")
    assert not np.allclose(first, deep(images, training=True))


def test_seeds_fit_into_those_of_every_backend() -> None:
    model = build_model("mobilenetv3_small_x0_35", num_classes=3, image_size=32, dropout=0.0)
    layers = [
        each for each in with_stochastic_depth(model, 0.5).layers if each.name.endswith("_add")
    ]
    seeds = [int(value_of(each.seed_generator.state)[0]) for each in layers]
    assert len(set(seeds)) == len(seeds) > 1
    assert max(seeds) < 2**31  # PyTorch's


def test_stochastic_depth_needs_shortcuts() -> None:
    with pytest.raises(RecipeError, match="pplcnet_x0_25 has no shortcuts"):
        with_stochastic_depth(build_model("pplcnet_x0_25", num_classes=2, image_size=32), 0.1)
