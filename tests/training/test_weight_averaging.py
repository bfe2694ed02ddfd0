"""BatchNorm is measured again over batches of training images."""

from __future__ import annotations

import keras
import numpy as np

from pplcnet.models.build import build_model
from pplcnet.training.weight_averaging import recalibrate


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
