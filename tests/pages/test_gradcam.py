"""Grad-CAM on every backend: against a computation by hand, and between classes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pplcnet.errors import InputError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.pages.gradcam import GradCam

PREPROCESSING = Preprocessing(image_size=(64, 64))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)


def test_it_is_the_computation_by_hand_where_a_layer_follows_the_pooling(images) -> None:
    # Without the last convolution a logit is linear in the pooled features, so that its gradient is
    # the layer's weight over the number of positions, times the scale that dropout leaves.
    keras.utils.set_random_seed(3)
    model = build_model("pplcnet_x0_25", num_classes=4, image_size=64, last_conv=False)
    classes = np.array([2, 0, 3])
    found = GradCam(model, PREPROCESSING).raw_maps(images, classes)

    pooling = [
        each for each in model.layers if isinstance(each, keras.layers.GlobalAveragePooling2D)
    ][-1]
    normalised = (images.astype(np.float32) / 255 - PREPROCESSING.mean) / PREPROCESSING.std
    features = keras.ops.convert_to_numpy(
        keras.Model(model.input, pooling.input)(normalised.astype(np.float32))
    )
    kernel = keras.ops.convert_to_numpy(model.get_layer("fc").kernel)
    positions = features.shape[1] * features.shape[2]
    expected = np.stack(
        [
            np.maximum(f @ kernel[:, c], 0) / positions
            for f, c in zip(features, classes, strict=True)
        ]
    )
    assert found.shape == (3, 2, 2)
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_the_map_changes_with_the_class_and_is_scaled(images) -> None:
    keras.utils.set_random_seed(4)
    gradcam = GradCam(build_model("pplcnet_x0_25", num_classes=4, image_size=64), PREPROCESSING)
    maps = [gradcam.maps(images, np.full(3, label)) for label in range(4)]
    assert all(each.shape == (3, 2, 2) and each.min() >= 0 for each in maps)
    assert {float(each.max()) for each in maps} == {1.0}
    assert not np.allclose(maps[0], maps[1])
    # Images do not see each other: one alone has the same map.
    np.testing.assert_allclose(gradcam.maps(images[1:2], np.array([2])), maps[2][1:2], atol=1e-5)


def test_a_network_that_pools_nowhere_is_refused() -> None:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    with pytest.raises(InputError, match="no global average pooling"):
        GradCam(model, PREPROCESSING)


def test_a_network_with_several_outputs_is_refused() -> None:
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = [keras.layers.Dense(2)(pooled), keras.layers.Flatten()(inputs)]
    with pytest.raises(InputError, match="has 2 outputs, and Grad-CAM needs one"):
        GradCam(keras.Model(inputs, outputs), PREPROCESSING)


def test_a_network_that_answers_for_each_place_is_refused() -> None:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    with pytest.raises(InputError, match="answers for each place"):
        GradCam(model, PREPROCESSING)
