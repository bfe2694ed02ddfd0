"""The optimiser: its schedule, what decays, and each layer's own rate."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.models.build import build_model
from pplcnet.models.variables import value_of
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.task_training import Objective
from pplcnet.training.optimizers import compile_model
from pplcnet.weights import native

pytestmark = pytest.mark.usefixtures("shallow_networks")

SETTINGS = {"model": "pplcnet_x0_25", "image_size": [32, 32], "batch_size": 9, "epochs": 2}
IMAGES = 27


def _recipe(fields: dict[str, object]) -> Recipe:
    return adapted(Recipe().changed(fields), IMAGES)


OBJECTIVE = Objective(keras.losses.CategoricalCrossentropy(from_logits=True), [])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_spares_batchnorm_and_biases(optimizer: str) -> None:
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    recipe = _recipe(SETTINGS | {"optimizer": optimizer, "weight_decay": 0.5})
    compile_model(model, recipe, 3, OBJECTIVE)
    for variable in model.trainable_variables:
        is_vector = variable.path.split("/")[-1] in ("bias", "gamma", "beta")
        assert model.optimizer._use_weight_decay(variable) != is_vector, variable.path


def test_the_learning_rate_warms_up_and_falls_along_a_cosine() -> None:
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    recipe = _recipe({"epochs": 10, "warmup_epochs": 2.0, "optimizer": "sgd"})
    compile_model(model, recipe, 10, OBJECTIVE)
    rates = [float(model.optimizer._learning_rate(step)) for step in range(101)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(recipe.peak_learning_rate / 2)
    assert rates[20] == pytest.approx(recipe.peak_learning_rate)
    assert rates[60] == pytest.approx(recipe.peak_learning_rate / 2)
    assert rates[100] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "rate", "warmup"),
    [("poly_0.01_1000", 0.01, 0), ("warmup100_from_1e-5_then_poly_0.005_over_900", 0.005, 100)],
)
def test_poly_is_the_schedule_of_the_original(
    shared: Path, name: str, rate: float, warmup: int
) -> None:
    expected = json.loads((shared / "reference/seg_schedule.json").read_text())[name]
    recipe = _recipe({"epochs": 100, "warmup_epochs": warmup / 10, "optimizer": "sgd"})
    recipe = recipe.changed({"schedule": "poly", "learning_rate": rate * 256 / recipe.batch_size})
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    compile_model(model, recipe, 10, OBJECTIVE)
    for step, wanted in expected.items():
        assert float(model.optimizer._learning_rate(int(step))) == pytest.approx(wanted, rel=1e-4)
    assert float(model.optimizer._learning_rate(1000)) == 0


@pytest.mark.parametrize("warmup", [0, 3])
def test_the_learning_rate_is_that_of_keras_schedule(warmup: int) -> None:
    recipe = _recipe({"epochs": 10, "warmup_epochs": float(warmup), "optimizer": "sgd"})
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    compile_model(model, recipe, 10, OBJECTIVE)
    peak, rise = recipe.peak_learning_rate, 10 * warmup
    start = {"warmup_target": peak, "warmup_steps": rise} if warmup else {}
    keras_schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else peak, 100 - rise, **start
    )
    for step in range(0, 110, 5):
        expected = float(keras_schedule(step))
        rate = float(model.optimizer._learning_rate(step))
        assert rate == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_all_that_scales_the_loss_is_in_the_state_before_the_first_step() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="float32")])
        compile_model(model, _recipe({"ema": 0.5}), 3, OBJECTIVE)
        before = [variable.path for variable in model.optimizer.variables]
        model.train_on_batch(np.ones((3, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1]])
    finally:
        keras.config.set_dtype_policy(policy)
    assert [variable.path for variable in model.optimizer.variables] == before


def test_an_average_that_warms_up_forgets_its_start() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    recipe = _recipe({"ema": 0.5, "ema_warmup": True, "optimizer": "sgd", "learning_rate": 1.0})
    compile_model(model, recipe, 5, OBJECTIVE)
    images = np.random.default_rng(0).standard_normal((9, 4)).astype("f4")
    average = 0.0
    for step in range(14):
        model.train_on_batch(images, np.eye(3, dtype="f4")[np.arange(9) % 3])
        (weights,) = (value_of(each) for each in model.trainable_variables)
        decay = min(0.5, (1 + step) / (10 + step)) if step else 0.0
        average = decay * average + (1 - decay) * weights
        (found,) = (value_of(each) for each in model.optimizer._model_variables_moving_average)
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)
    assert not np.allclose(average, weights, atol=1e-4)


def test_stages_learn_slower_the_nearer_they_are_to_the_input() -> None:
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32, dropout=0.0)
    fields = {"layer_decay": 0.5, "weight_decay": 0.0, "warmup_epochs": 0.0, "optimizer": "adamw"}
    compile_model(model, _recipe(SETTINGS | fields), 5, OBJECTIVE)
    model.run_eagerly = True  # one step is computed sooner than its graph is built
    before = native.get_values(model)
    images = np.random.default_rng(0).standard_normal((9, 32, 32, 3)).astype("f4")
    model.train_on_batch(images, np.eye(3, dtype="f4")[np.arange(9) % 3])
    rate = _recipe(SETTINGS | fields).peak_learning_rate
    # AdamW's first step is the learning rate, whatever the gradient.
    steps = {
        name: float(np.abs(value - before[name]).max())
        for name, value in native.get_values(model).items()
    }
    assert steps["fc.kernel"] == pytest.approx(rate, rel=0.01)
    assert steps["blocks6_0_pw_conv_conv.kernel"] == pytest.approx(rate / 2, rel=0.01)
    assert steps["blocks4_0_dw_conv_conv.kernel"] == pytest.approx(rate / 8, rel=0.01)
    assert steps["conv1_conv.kernel"] == pytest.approx(rate / 64, rel=0.01)


def test_weight_decay_goes_with_each_layers_own_rate() -> None:
    fields = {"layer_decay": 0.5, "weight_decay": 0.5, "warmup_epochs": 0.0}
    recipe = _recipe(SETTINGS | fields)
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    compile_model(model, recipe, 5, OBJECTIVE)
    before = native.get_values(model)
    model.optimizer._apply_weight_decay(model.trainable_variables)
    after = native.get_values(model)
    for name, depth in (("fc.kernel", 0), ("blocks6_0_pw_conv_conv.kernel", 1),
                        ("conv1_conv.kernel", 6)):  # fmt: skip
        faded = recipe.peak_learning_rate * 0.5 * 0.5**depth
        np.testing.assert_allclose(after[name], before[name] * (1 - faded), rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(after["fc.bias"], before["fc.bias"])
