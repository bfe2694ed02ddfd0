"""Several devices: the same training as on one, where the parts of a batch say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.errors import RecipeError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.devices import Devices, normalize_in_step

# In a process of its own: TensorFlow's devices are settled when it is first used. Two logical CPUs
# stand for two GPUs; every photo is there twice, in both parts of a batch, so that BatchNorm's
# statistics of a part are those of the whole.
COMPARISON = """
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
from pplcnet.models.build import build_model
from pplcnet.models.variables import value_of
from pplcnet.tasks.task_training import Objective
from pplcnet.training.devices import Devices
from pplcnet.training.optimizers import compile_model
from pplcnet.recipe.recipe import Recipe

half = np.random.default_rng(0).normal(size=(6, 64, 64, 3)).astype(np.float32)
images = np.concatenate([half, half])
targets = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
losses, found, answers = [], [], []
for count in (1, 2):
    recipe = Recipe(
        model="pplcnet_x0_25", image_size=(64, 64), devices=count, batch_size=12, gradient_clip=0.5,
        ema=0.5, warmup_epochs=0, learning_rate=0.1,
    )
    devices = Devices(recipe)
    keras.utils.set_random_seed(0)
    with devices.scope():
        model = build_model("pplcnet_x0_25", num_classes=3, image_size=64, dropout=0.0)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        compile_model(model, recipe, 10, Objective(loss, [keras.metrics.CategoricalAccuracy()]))
    step = devices.step_of(model)
    losses.append([step(images, targets)["loss"] for _ in range(2)])
    found.append({each.path: value_of(each) for each in model.variables})
    answers.append(devices.on_one(model).predict_on_batch(images))
np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
assert losses[0][0] != losses[0][1]
assert answers[0].shape == answers[1].shape == (12, 3)
for path, value in found[0].items():
    np.testing.assert_allclose(value, found[1][path], atol=2e-3, err_msg=path)
"""

RUN = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from pplcnet.cli.main import main

sys.exit(main(["train", *sys.argv[1:]]))
"""
SMALL = (
    "--model", "pplcnet_x0_25", "--image-size", "32", "--epochs", "2", "--set", "batch_size=8",
    "--set", "devices=2", "--set", "ema=0.5", "--set", "recalibrate_batchnorm=16",
)  # fmt: skip


def _in_a_process(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        timeout=300,
    )


@pytest.mark.slow
def test_two_devices_train_as_one_does() -> None:
    ended = _in_a_process(COMPARISON)
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.mark.slow
def test_a_whole_run_on_two_devices_ends_in_a_bundle_that_is_proven_equal(
    common_photos: Path, tmp_path: Path
) -> None:
    ended = _in_a_process(RUN, str(common_photos), *SMALL, "--out", str(tmp_path / "run"))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "largest difference from Keras" in ended.stderr
    assert (tmp_path / "run" / "model.bundle" / "model.onnx").is_file()


def test_the_model_on_one_device_keeps_the_name_by_which_weights_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.Flatten()(pixels), name="pplcnet_x0_25")
    devices = Devices(Recipe())
    assert devices.on_one(model) is model
    monkeypatch.setattr(devices, "_strategy", object())  # of several devices
    alone = devices.on_one(model)
    assert alone is not model
    assert alone.name == model.name


def test_more_devices_than_there_are_say_how_many_there_are() -> None:
    with pytest.raises(RecipeError, match=r"TensorFlow sees one CPU here. Set devices=1"):
        Devices(Recipe(devices=2))


@pytest.mark.parametrize(
    "fields", [{"batch_size": 15}, {"gradient_accumulation": 2}, {"devices": 0}]
)
def test_devices_that_do_not_go_with_the_recipe_are_refused(fields: dict) -> None:
    with pytest.raises(RecipeError, match=r"devices is \d; it must be 1, or divide batch_size"):
        Recipe(**{"devices": 2} | fields)


def test_a_step_normalises_pixels_as_the_preprocessing_does() -> None:
    preprocessing = Preprocessing(image_size=(32, 32))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    targets = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    losses = []
    for images in (pixels, preprocessing.normalize(pixels)):
        keras.utils.set_random_seed(0)
        layers = [
            keras.layers.Conv2D(4, 3, strides=4),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
        model = keras.Sequential([keras.Input((32, 32, 3)), *layers])
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
        normalize_in_step(model, preprocessing)
        step = Devices(Recipe()).step_of(model)
        losses.append([float(step(images, targets)["loss"]) for _ in range(2)])
        step.finish()
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][0] != losses[0][1]
