"""The faster BatchNorm and hard-swish compute what Keras' own do, also their gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pplcnet.models.layers import BatchNormalization, HardSwish

tf = pytest.importorskip("tensorflow")


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(0.7, 3.0, shape).astype("float32")


@pytest.mark.parametrize("shape", [(4, 5, 3, 6), (1, 1, 1, 6), (2, 7, 7, 6)])
def test_batch_norm_trains_as_keras_does(shape: tuple[int, ...]) -> None:
    images = tf.constant(_images(*shape))
    outcomes = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        norm = kind(epsilon=1e-5, momentum=0.9)
        norm.build(shape)
        norm.gamma.assign(np.linspace(0.5, 2, 6))
        norm.beta.assign(np.linspace(-1, 1, 6))
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = norm(images, training=True)
            loss = tf.reduce_sum(outputs * tf.cos(outputs))
        gradients = tape.gradient(loss, [images, norm.gamma.value, norm.beta.value])
        outcomes.append([outputs, *gradients, norm.moving_mean, norm.moving_variance])
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_hard_swish_has_its_gradient_in_every_precision(dtype: str) -> None:
    values = tf.cast(tf.linspace(-4.0, 4.0, 33), dtype)
    found = []
    for layer in (HardSwish(dtype=dtype), keras.layers.Activation("hard_swish", dtype=dtype)):
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = layer(values, training=True)
        found.append((outputs, tape.gradient(outputs, values)))
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(
            tf.cast(ours, "float32"), tf.cast(theirs, "float32"), rtol=0.01, atol=0.02
        )


def test_batch_norm_uses_and_keeps_its_statistics_in_inference() -> None:
    norm = BatchNormalization(epsilon=1e-5)
    images = _images(2, 3, 3, 4)
    norm(images, training=False)
    norm.moving_mean.assign(np.full(4, 2.0))
    norm.moving_variance.assign(np.full(4, 4.0))
    np.testing.assert_allclose(norm(images, training=False).numpy(), (images - 2) / 2, atol=1e-4)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), np.full(4, 2.0))


def test_a_frozen_batch_norm_keeps_its_statistics_in_training() -> None:
    norm = BatchNormalization()
    norm.trainable = False
    norm(_images(2, 3, 3, 4), training=True)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), np.zeros(4))


def test_hard_swish_and_its_gradient_equal_keras() -> None:
    values = tf.constant(np.linspace(-5, 5, 101, dtype="float32").reshape(1, 101, 1, 1))
    outcomes = []
    for function in (HardSwish(), keras.activations.hard_silu):
        training = {"training": True} if isinstance(function, HardSwish) else {}
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = function(values, **training)
            loss = tf.reduce_sum(outputs**2)
        outcomes.append((outputs, tape.gradient(loss, values)))
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_a_model_with_these_layers_survives_keras_own_file_format(tmp_path) -> None:
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, HardSwish()(BatchNormalization()(inputs)))
    model.save(tmp_path / "model.keras")
    images = _images(2, 4, 4, 3)
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(images).numpy(), again(images).numpy())
