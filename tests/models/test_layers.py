"""Our layers compute what Keras' own do, also their gradients, and on every device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.models import layers
from pplcnet.models.layers import BatchNormalization, DepthwiseConv2D, HardSwish

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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_hard_swish_and_its_gradient_equal_keras_in_half_precision(dtype: str) -> None:
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


def test_batch_norm_trains_in_float64() -> None:
    images = _images(2, 3, 3, 4).astype("float64")
    found = BatchNormalization(dtype="float64")(images, training=True)
    expected = keras.layers.BatchNormalization(dtype="float64")(images, training=True)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("strides", [(1, 2), (2, 1), (2, 3), (4, 2)])
@pytest.mark.parametrize("options", [{}, {"use_bias": True, "activation": "relu"}])
def test_unequal_strides_are_computed_without_an_operator_for_them(
    strides: tuple[int, int], options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"kernel_size": 3, "strides": strides, "use_bias": False, **options}
    theirs = keras.layers.DepthwiseConv2D(**options, bias_initializer="random_normal")
    images = tf.constant(_images(2, 13, 16, 4))
    theirs(images)
    found = []
    for has_operator in (True, False):
        monkeypatch.setattr(layers, "supports_unequal_strides", lambda _, has=has_operator: has)
        ours = DepthwiseConv2D.from_config(theirs.get_config())
        ours.build(images.shape)
        ours.set_weights(theirs.get_weights())
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = ours(images)
            loss = tf.reduce_sum(outputs * tf.cos(outputs))
        found.append(
            [outputs, *tape.gradient(loss, [images, *(each.value for each in ours.weights)])]
        )
    assert found[0][0].shape == theirs.compute_output_shape(images.shape)
    for expected, computed in zip(*found, strict=True):
        np.testing.assert_allclose(computed.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


def test_unequal_strides_are_computed_in_float64() -> None:
    images = _images(2, 9, 9, 4)
    single = DepthwiseConv2D(3, strides=(2, 1), use_bias=False)
    expected = single(images).numpy()
    double = DepthwiseConv2D(3, strides=(2, 1), use_bias=False, dtype="float64")
    double.build(images.shape)
    double.set_weights(single.get_weights())
    np.testing.assert_allclose(double(images).numpy(), expected, rtol=1e-4, atol=1e-4)


WITHOUT_ONEDNN = """
import sys
from pathlib import Path
import numpy as np, tensorflow as tf
from pplcnet.bundle.manifest import Manifest
from pplcnet.exporting.translation import to_onnx
from pplcnet.models.build import build_model
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tests.shallow import shallow_networks
preprocessing = Preprocessing(image_size=(32, 64))
pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 64, 3), np.uint8)
with shallow_networks(Path(sys.argv[1])):
    model = build_model(
        "pplcnet_x0_25", num_classes=3, image_size=(32, 64),
        strides=[(1, 2), (2, 1), (2, 1), (1, 2), (2, 1)],
    )
with tf.GradientTape() as tape:
    logits = model(preprocessing.normalize(pixels), training=False)
    loss = tf.reduce_sum(logits * tf.cos(logits))
gradients = tape.gradient(loss, [each.value for each in model.trainable_variables])
assert all(np.isfinite(each).all() and np.any(each) for each in gradients)
proto = to_onnx(model, Manifest(tuple("abc"), preprocessing, {}), batch=1)
strides = [
    list(attribute.ints)
    for node in proto.graph.node if node.op_type == "Conv"
    for attribute in node.attribute if attribute.name == "strides"
]
assert [each for each in strides if each != [1, 1]] == [[1, 2], [2, 1], [2, 1], [1, 2], [2, 1]]
engine = OnnxRuntimeEngine(proto.SerializeToString(), threads=1)
expected = model(preprocessing.normalize(pixels), training=False).numpy()
found = np.concatenate([engine.run(pixels[at : at + 1])["logits"] for at in range(2)])
assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
print("the same answers")
"""


def test_text_line_networks_train_and_answer_without_onednn(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ONEDNN, str(tmp_path / "backbones")],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "KERAS_BACKEND": "tensorflow"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stdout.strip() == "the same answers", done.stderr[-2000:]


def test_other_runtimes_get_unequal_strides_as_one_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layers, "supports_unequal_strides", lambda _: False)
    layer = DepthwiseConv2D(3, strides=(2, 1))
    layer.build((1, 9, 9, 4))

    @tf.function(input_signature=[tf.TensorSpec((1, 9, 9, 4))])
    def whole(images):
        return layer(images)

    with layers.tracing_for_another_runtime():
        operations = whole.get_concrete_function().graph.get_operations()
    (convolution,) = [each for each in operations if each.type == "DepthwiseConv2dNative"]
    assert list(convolution.get_attr("strides")) == [1, 2, 1, 1]
    assert "StridedSlice" not in {each.type for each in operations}
