"""What a recipe can switch on: each does what its paper says, and survives an interruption."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import RecipeError, TrainingInterrupted
from pplcnet.models.build import build_model
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.objective import ClassLoss, balanced_weights
from pplcnet.training import loop
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.loop import preprocessing_of
from pplcnet.training.mixing import erase, mix
from pplcnet.training.optimizers import compile_model
from pplcnet.training.stochastic_depth import with_stochastic_depth
from pplcnet.training.train import train
from pplcnet.training.weight_averaging import recalibrate
from pplcnet.weights import native
from pplcnet.weights.bundled import restore_model

BASE = {
    "model": "pplcnet_x0_25", "image_size": [32, 32], "batch_size": 9, "epochs": 3, "seed": 5,
    "learning_rate": 0.4,
}  # fmt: skip
EVERYTHING = BASE | {
    "augment": "randaugment", "random_erasing": 0.5, "mixup": 0.2, "cutmix": 1.0, "ema": 0.5,
    "gradient_accumulation": 2, "progressive_resizing": 0.5, "image_size": [64, 64], "epochs": 2,
    "test_image_size": [96, 96], "early_stopping": 3, "recalibrate_batchnorm": 18,
    "loss": "focal", "class_weights": "balanced", "balanced_sampling": True, "dropout": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(common_photos: Path) -> tuple[Dataset, Dataset]:
    return Dataset.open(common_photos).split(0.25, seed=0)


def _values(bundle: Path) -> dict[str, np.ndarray]:
    return native.get_values(restore_model(Bundle.open(bundle)))


def _stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Ctrl-C comes during so many steps of training."""
    done = []
    own = keras.Model.train_on_batch

    def counted(model, *given, **named):
        done.append(None)
        return own(model, *given, **named)

    monkeypatch.setattr(keras.Model, "train_on_batch", counted)

    class Asked:
        def __enter__(self):
            return lambda: len(done) >= steps

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(loop, "interrupts_deferred", Asked)


def test_a_resumed_run_with_everything_on_equals_an_uninterrupted_one(
    parts, tmp_path: Path
) -> None:
    recipe = Recipe().changed(EVERYTHING)
    whole = train(recipe, *parts, out=tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        _stop_after(patch, 4)
        with pytest.raises(TrainingInterrupted):
            train(recipe, *parts, out=tmp_path / "stopped")
    resumed = train(recipe, *parts, out=tmp_path / "stopped", resume=True)
    expected = _values(whole.bundle)
    for name, value in _values(resumed.bundle).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert Bundle.open(whole.bundle).manifest.preprocessing.image_size == (96, 96)


def test_all_that_scales_the_loss_is_in_the_state_before_the_first_step() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="float32")])
        compile_model(model, Recipe().changed({"ema": 0.5}), steps_per_epoch=3)
        before = [variable.path for variable in model.optimizer.variables]
        model.train_on_batch(np.ones((3, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1]])
    finally:
        keras.config.set_dtype_policy(policy)
    assert [variable.path for variable in model.optimizer.variables] == before


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_sixteen_bits_train_a_network_of_32(parts, tmp_path: Path, precision: str) -> None:
    recipe = Recipe().changed(BASE | {"precision": precision, "ema": 0.5, "epochs": 1})
    trained = train(recipe, *parts, out=tmp_path / "whole")
    assert keras.config.dtype_policy().name == "float32"
    assert all(value.dtype == np.float32 for value in _values(trained.bundle).values())
    with pytest.MonkeyPatch.context() as patch:
        _stop_after(patch, 1)
        with pytest.raises(TrainingInterrupted):
            train(recipe, *parts, out=tmp_path / "stopped")
    resumed = train(recipe, *parts, out=tmp_path / "stopped", resume=True)
    for name, value in _values(resumed.bundle).items():
        np.testing.assert_array_equal(value, _values(trained.bundle)[name], err_msg=name)


def test_early_stopping_ends_a_run_that_gets_no_better(parts, tmp_path: Path) -> None:
    said: list[str] = []
    recipe = Recipe().changed(BASE | {"epochs": 12, "learning_rate": 1e-9, "early_stopping": 2})
    result = train(recipe, *parts, out=tmp_path, report=said.append)
    assert len(result.history) < 12
    best = result.best_epoch
    assert len(result.history) == best + 2
    assert "stopped early: no improvement for 2 epochs" in said


def test_the_moving_average_is_what_is_kept(parts, tmp_path: Path) -> None:
    slow = Recipe().changed(BASE | {"ema": 0.999, "epochs": 1})
    plain = Recipe().changed(BASE | {"epochs": 1})
    kernel = "blocks6_1_pw_conv_conv.kernel"
    averaged = _values(train(slow, *parts, out=tmp_path / "slow").bundle)[kernel]
    own = _values(train(plain, *parts, out=tmp_path / "plain").bundle)[kernel]
    assert not np.allclose(averaged, own, atol=1e-4)


def _images(count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), np.uint8)


def test_mixup_mixes_pictures_and_targets_by_the_same_part() -> None:
    images = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (0, 200)])
    targets = np.eye(2, dtype=np.float32)
    generator = np.random.default_rng(3)
    mixed, mixed_targets = mix(images, targets, Recipe(mixup=0.8), generator)
    np.testing.assert_allclose(mixed[:, 0, 0, 0] / 200, mixed_targets[:, 1], atol=0.003)
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1, rtol=1e-6)


def test_cutmix_weighs_targets_by_the_area_that_was_pasted() -> None:
    images = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (0, 255)])
    for seed in range(20):
        mixed, targets = mix(
            images, np.eye(2, dtype=np.float32), Recipe(cutmix=1.0), np.random.default_rng(seed)
        )
        shown = (mixed[..., 0] == 255).mean(axis=(1, 2))
        np.testing.assert_allclose(shown, targets[:, 1], atol=1e-6)


def test_an_unknown_label_stays_unknown_when_mixed() -> None:
    targets = np.asarray([[1, np.nan], [0, 1]], np.float32)
    for seed in range(5):
        _, mixed = mix(_images(2), targets, Recipe(mixup=1.0), np.random.default_rng(seed))
        assert np.isnan(mixed[0, 1])


def test_erasing_changes_2_to_33_percent() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    for seed in range(20):
        part = (erase(image, np.random.default_rng(seed)) > 0).any(axis=-1).mean()
        assert 0.01 < part < 0.36


def test_balanced_sampling_shows_every_class_equally_often(common_photos: Path) -> None:
    dataset = Dataset.open(common_photos)
    rare = [each for at, each in enumerate(dataset.images) if each.label or at < 2]
    dataset = dataset.keep(rare)
    recipe = Recipe().changed(BASE | {"balanced_sampling": True, "image_size": 8})
    batches = TrainingBatches(dataset, recipe, preprocessing_of(recipe))
    shown = sum(batch.targets.sum(axis=0) for epoch in range(20) for batch in batches.epoch(epoch))
    assert shown.min() / shown.max() > 0.7
    assert dataset.class_counts()[0] == 2


def test_balanced_weights_sum_to_the_same_for_every_class(common_photos: Path) -> None:
    dataset = Dataset.open(common_photos)
    dataset = dataset.keep([each for at, each in enumerate(dataset.images) if each.label or at < 3])
    weights = balanced_weights(dataset) * np.asarray(dataset.class_counts())
    np.testing.assert_allclose(weights, len(dataset) / len(dataset.classes), rtol=1e-5)


def test_the_plain_class_loss_is_kerass_cross_entropy_and_focal_is_its_own() -> None:
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((6, 4)).astype(np.float32)
    targets = np.eye(4, dtype=np.float32)[generator.integers(0, 4, 6)]
    own = ClassLoss(label_smoothing=0.1)(targets, logits)
    reference = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    np.testing.assert_allclose(own, reference(targets, logits), rtol=1e-5)
    focal = ClassLoss(focal_gamma=2.0)(targets, logits)
    keras_focal = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0, from_logits=True)
    np.testing.assert_allclose(focal, keras_focal(targets, logits), rtol=1e-4)


def test_a_photo_without_a_class_adds_nothing_to_the_class_loss() -> None:
    targets = np.asarray([[1, 0], [0, 0]], np.float32)
    losses = ClassLoss(label_smoothing=0.1).call(targets, np.ones((2, 2), np.float32))
    assert float(losses[0]) > 0
    assert float(losses[1]) == 0


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


def test_stochastic_depth_needs_shortcuts() -> None:
    with pytest.raises(RecipeError, match="pplcnet_x0_25 has no shortcuts"):
        with_stochastic_depth(build_model("pplcnet_x0_25", num_classes=2, image_size=32), 0.1)


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


@pytest.mark.parametrize(
    ("part", "sizes"),
    [(1.0, [224] * 9), (0.5, [128, 128, 128, 160, 160, 192, 224, 224, 224])],
)
def test_progressive_resizing_grows_to_the_whole(part: float, sizes: list[int]) -> None:
    recipe = Recipe(epochs=9, progressive_resizing=part)
    found = [recipe.size_in_epoch(epoch)[0] for epoch in range(9)]
    assert found[0] == sizes[0]
    assert found == sorted(found)
    assert found[-3:] == [224] * 3
