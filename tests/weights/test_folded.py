"""A backbone with folded BatchNorm: the same function, before unfolding and after."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.models.build import build_model
from pplcnet.weights.folded import has_neutral_norms, unfold
from pplcnet.weights.loading import load_pretrained
from tests.conformance import reference

BACKBONE = "reference/lcnet_x0_35_coco_trunk/lcnet_x0_35_trunk_bnfolded.npz"


@pytest.fixture
def model(shared: Path) -> keras.Model:
    model = build_model("pplcnet_x0_35", num_classes=10, image_size=320, dropout=0.0)
    (line,) = load_pretrained(model, shared / BACKBONE)
    assert line.endswith("no matching weights: fc, last_conv")
    return model


def _blocks6(model: keras.Model, images: np.ndarray) -> np.ndarray:
    layer = model.get_layer("blocks6_1_pw_conv_hardswish")
    features = keras.Model(model.input, layer.output)(images, training=False)
    return features.numpy()


@pytest.fixture
def golden(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(shared / "reference/lcnet_x0_35_coco_trunk/golden_dog_320_rgb.npz") as file:
        return file["x_nchw"].transpose(0, 2, 3, 1), file["feat_blocks6_nchw"].transpose(0, 2, 3, 1)


def test_the_folded_backbone_gives_the_golden_features(model: keras.Model, golden) -> None:
    images, features = golden
    assert has_neutral_norms(model)
    assert reference.relative_difference(_blocks6(model, images), features) <= 1e-3


def test_unfolded_it_is_the_same_function_in_inference(model: keras.Model, golden) -> None:
    images, features = golden
    logits = model(images, training=False).numpy()
    generator = np.random.default_rng(0)
    unfold(model, [images + generator.normal(0, 0.3, images.shape).astype("f4") for _ in range(3)])
    assert not has_neutral_norms(model)
    assert reference.relative_difference(_blocks6(model, images), features) <= 1e-3
    assert reference.relative_difference(model(images, training=False).numpy(), logits) <= 1e-3


def test_unfolded_it_is_nearly_the_same_function_in_training(model: keras.Model, golden) -> None:
    images = np.repeat(golden[0], 4, axis=0)
    folded_in_training = model(images, training=True).numpy()
    model_logits = model(images, training=False).numpy()
    load_again = build_model("pplcnet_x0_35", num_classes=10, image_size=320, dropout=0.0)
    load_again.set_weights(model.get_weights())
    unfold(model, [images])
    unfolded_in_training = model(images, training=True).numpy()
    assert reference.relative_difference(unfolded_in_training, model_logits) < 0.2
    assert reference.relative_difference(folded_in_training, model_logits) > 0.2
