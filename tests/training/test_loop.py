"""The loop with all that a recipe can switch on: interrupted runs end as uninterrupted ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import TrainingInterrupted
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.task import Task
from pplcnet.tasks.task_training import Objective, TaskTraining
from pplcnet.training import setup
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.recalibration import recalibrate
from pplcnet.training.train import train
from pplcnet.weights import native
from pplcnet.weights.bundled import restore_model
from tests.training.steps import stop_after

pytestmark = pytest.mark.usefixtures("shallow_networks")

# Of the networks with the quickest graphs.
BASE = {
    "model": "mobilenetv1_x0_25", "image_size": [32, 32], "batch_size": 9, "epochs": 3, "seed": 5,
    "learning_rate": 0.4,
}  # fmt: skip
EVERYTHING = BASE | {
    "model": "pplcnet_x0_25",
    "augment": "randaugment", "random_erasing": 0.5, "mixup": 0.2, "cutmix": 1.0, "ema": 0.5,
    "ema_warmup": True, "gradient_accumulation": 2, "epochs": 2, "early_stopping": 3,
    "recalibrate_batchnorm": 18,
    "loss": "focal", "class_weights": "balanced", "balanced_sampling": True, "dropout": 0.2,
}  # fmt: skip
# A graph for each size takes several times as long to build.
SIZES = {"progressive_resizing": 0.5, "image_size": [64, 64], "test_image_size": [96, 96]}


@pytest.fixture(scope="module")
def parts(common_photos: Path) -> tuple[Dataset, Dataset]:
    return Dataset.open(common_photos).split(0.25, seed=0)


def _values(bundle: Path) -> dict[str, np.ndarray]:
    return native.get_values(restore_model(Bundle.open(bundle)))


@pytest.mark.parametrize("sizes", [{}, pytest.param(SIZES, marks=pytest.mark.slow)])
def test_a_resumed_run_with_everything_on_equals_an_uninterrupted_one(
    parts, tmp_path: Path, sizes: dict[str, object]
) -> None:
    recipe = Recipe().changed(EVERYTHING | sizes)
    whole = train(recipe, *parts, out=tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(TrainingInterrupted):
            train(recipe, *parts, out=tmp_path / "stopped")
    resumed = train(recipe, *parts, out=tmp_path / "stopped", resume=True)
    expected = _values(whole.bundle)
    for name, value in _values(resumed.bundle).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    size = recipe.test_image_size or recipe.image_size
    assert Bundle.open(whole.bundle).manifest.preprocessing.image_size == size


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_sixteen_bits_train_a_network_of_32(parts, tmp_path: Path, precision: str) -> None:
    recipe = Recipe().changed(BASE | {"precision": precision, "ema": 0.5, "epochs": 1})
    trained = train(recipe, *parts, out=tmp_path / "whole")
    assert keras.config.dtype_policy().name == "float32"
    assert all(value.dtype == np.float32 for value in _values(trained.bundle).values())
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(TrainingInterrupted):
            train(recipe, *parts, out=tmp_path / "stopped")
    resumed = train(recipe, *parts, out=tmp_path / "stopped", resume=True)
    for name, value in _values(resumed.bundle).items():
        np.testing.assert_array_equal(value, _values(trained.bundle)[name], err_msg=name)


def test_a_loss_hears_which_epoch_begins_or_goes_on(
    parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    own = setup.training_of

    def listening(task: Task) -> TaskTraining:
        training = own(task)

        def objective(recipe: Recipe, dataset: Dataset) -> Objective:
            return replace(
                training.objective(recipe, dataset),
                begin_epoch=lambda model, epoch: heard.append(epoch),
            )

        return replace(training, objective=objective)

    monkeypatch.setattr(setup, "training_of", listening)
    recipe = Recipe().changed(BASE | {"epochs": 3, "recalibrate_batchnorm": 0})
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(TrainingInterrupted):
            train(recipe, *parts, out=tmp_path)
    assert heard == [0, 1]
    train(recipe, *parts, out=tmp_path, resume=True)
    assert heard == [0, 1, 1, 2]


def test_early_stopping_ends_a_run_that_gets_no_better(parts, tmp_path: Path) -> None:
    said: list[str] = []
    # A rate at which no weight of a random network changes.
    unmoved = {"learning_rate": 1e-30, "batchnorm_scale": 1.0}
    recipe = Recipe().changed(BASE | unmoved | {"epochs": 12, "early_stopping": 2})
    result = train(recipe, *parts, out=tmp_path, report=said.append)
    assert len(result.history) < 12
    best = result.best_epoch
    assert len(result.history) == best + 2
    assert "stopped early: no improvement for 2 epochs" in said


def test_the_moving_average_is_what_is_kept(parts, tmp_path: Path) -> None:
    # High enough that a few steps move the weights.
    fields = BASE | {"epochs": 1, "learning_rate": 5.0, "warmup_epochs": 0, "ema": 0.999}
    model = restore_model(Bundle.open(train(Recipe().changed(fields), *parts, out=tmp_path).bundle))
    kernel = model.get_layer("fc").kernel
    (at,) = [at for at, variable in enumerate(model.variables) if variable is kernel]
    own = np.load(tmp_path / "checkpoint.npz")[f"state/{at:04d}"]  # what training goes on with
    assert own.shape == kernel.shape
    assert not np.allclose(value_of(kernel), own, atol=1e-4)


def test_the_weights_that_are_kept_carry_statistics_measured_with_them(
    parts, tmp_path: Path
) -> None:
    recipe = Recipe().changed(BASE | {"epochs": 1, "recalibrate_batchnorm": 27})
    trained = train(recipe, *parts, out=tmp_path)
    # Running averages after three steps give losses far from the logarithm of 3 classes.
    assert trained.history[0]["validation_loss"] < 3
    model = restore_model(Bundle.open(trained.bundle))
    kept = native.get_values(model)
    preprocessing = preprocessing_of(recipe)
    batches = TrainingBatches(parts[0], recipe, preprocessing)
    images = np.concatenate([each.images for each in batches.epoch(recipe.epochs)])
    recalibrate(model, [preprocessing.normalize(images)])
    for name, value in native.get_values(model).items():
        np.testing.assert_allclose(value, kept[name], rtol=1e-3, atol=1e-4, err_msg=name)
