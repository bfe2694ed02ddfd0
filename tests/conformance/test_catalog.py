"""Every row of the catalog builds, costs what it says, trains in all its parts, and has names."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest

from pplcnet.errors import InputError, UnknownNameError
from pplcnet.models.build import Endpoints, build_endpoints, build_model, features_of
from pplcnet.models.catalog import CATALOG
from pplcnet.models.cost import count_cost
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.models.variables import value_of
from pplcnet.training.pretrained import stage_depths
from tests.representatives import EACH_STRUCTURE, NARROWEST

ROWS = list(CATALOG)
OPTIONS = ("num_classes", "strides", "last_conv", "last_conv_bias", "deploy", "dropout")
# Of the families that are here to be compared with, the narrowest; the others are slow.
SOON = {*NARROWEST, *(name for name, row in CATALOG.items() if row.family == "pplcnet")}
NAMES = EACH_STRUCTURE
if keras.backend.backend() != "tensorflow":
    ROWS = ["pplcnet_x0_25", "pplcnet_x2_0"]
    NAMES = ["pplcnet_x0_25"]


@cache
def _endpoints(name: str) -> Endpoints:
    """Of a network of five classes at an odd size: building one takes longer than looking at it."""
    options = dict.fromkeys(OPTIONS) | {"num_classes": 5, "dropout": 0.0}
    return build_endpoints(name, (33, 47), options)


@pytest.mark.parametrize(
    "name", [each if each in SOON else pytest.param(each, marks=pytest.mark.slow) for each in ROWS]
)
def test_row_states_the_cost_of_the_built_network(name: str) -> None:
    cost = count_cost(build_model(name, deploy=CATALOG[name].family == "pplcnetv2"))
    assert (cost.trainable_parameters, cost.macs) == (
        CATALOG[name].parameters,
        CATALOG[name].macs_224,
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_trainable_weight_changes_in_one_training_step(name: str) -> None:
    keras.utils.set_random_seed(1)
    model = _endpoints(name).model()
    model.compile(
        optimizer=keras.optimizers.SGD(0.5),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() == "jax",
        # One step is computed sooner than its graph is traced.
        run_eagerly=keras.backend.backend() == "tensorflow",
    )
    before = [value_of(each) for each in model.trainable_variables]
    generator = np.random.default_rng(0)
    images = generator.standard_normal((4, 33, 47, 3)).astype("float32")
    model.train_on_batch(images, np.array([0, 1, 2, 3]))
    unchanged = [
        variable.path
        for old, variable in zip(before, model.trainable_variables, strict=True)
        if np.array_equal(old, value_of(variable))
    ]
    assert unchanged == []


@pytest.mark.parametrize("name", NAMES)
def test_stages_are_named_feature_maps(name: str) -> None:
    stages = _endpoints(name).model("stages").output
    sizes = [int(each.shape[1]) for each in stages.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_with_weights_has_its_stage(name: str) -> None:
    model = _endpoints(name).model()
    stages, depths = stage_depths(name, model)
    seen = [depths[layer.name] for layer in model.layers if layer.weights]
    assert set(seen) == set(range(len(stages) + 1))
    assert seen[0] == 0
    assert depths[model.layers[-1].name] == len(stages)


def test_embedding_and_stages_are_the_inside_of_the_same_network() -> None:
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype("float32")
    embedding = build_model("pplcnet_x0_25", image_size=64, output="embedding")
    assert tuple(embedding(images).shape) == (2, 1280)
    stages = build_model("pplcnet_x0_25", image_size=64, output="stages")(images)
    assert {name: tuple(each.shape) for name, each in stages.items()} == {
        "conv1": (2, 32, 32, 8),
        "blocks2": (2, 32, 32, 8),
        "blocks3": (2, 16, 16, 16),
        "blocks4": (2, 8, 8, 32),
        "blocks5": (2, 4, 4, 64),
        "blocks6": (2, 2, 2, 128),
    }


@pytest.mark.parametrize("name", NAMES)
def test_features_are_found_on_both_sides_of_global_pooling(name: str) -> None:
    model = _endpoints(name).model()
    features = features_of(model)
    pooling = model.get_layer("avg_pool")
    assert features.map is pooling.input
    assert features.pooled is pooling.output
    assert tuple(features.map.shape[:3]) == (None, 2, 2)


def test_building_a_network_leaves_the_next_one_alone() -> None:
    build_model("pplcnet_x0_25", strides=[1, 1, 1, 1, 1], image_size=32)
    again = build_model("pplcnet_x0_25", image_size=32, output="stages")
    assert again.output["blocks6"].shape == (None, 1, 1, 128)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"num_classes": 2.0}, "num_classes is 2.0"),
        ({"image_size": 0}, "image size is 0"),
        ({"image_size": (224, -1)}, "image size is"),
        ({"image_size": (1, 2, 3)}, "image size is"),
        ({"strides": [2, 2]}, "strides are"),
        ({"strides": [2, 2, 2, 2, (2, 3)]}, "strides are"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"output": "features"}, "output is 'features'"),
    ],
)
def test_an_option_outside_what_is_allowed_is_named(options: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint.replace("(", r"\(")):
        build_model("pplcnet_x0_25", **options)


@pytest.mark.parametrize(
    ("name", "options", "having"),
    [
        ("mobilenetv1_x0_25", {"strides": [2, 2, 2, 2, 2]}, "pplcnet"),
        ("pplcnetv2_base", {"last_conv": False}, "pplcnet"),
        ("ghostnet_x0_5", {"deploy": True}, "pplcnetv2"),
    ],
)
def test_an_option_of_another_family_is_refused(name: str, options: dict, having: str) -> None:
    with pytest.raises(InputError, match=f"networks of {having} have it"):
        build_model(name, **options)


def test_a_network_without_branches_is_its_own_deployed_form() -> None:
    model = build_model("pplcnet_x0_25", image_size=32)
    assert to_deploy_form(model) is model


def test_an_unknown_network_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="pplcnet_x1_0"):
        build_model("pplcnet_1_0")
