"""The loss of one class per image, plain, focal and weighted by class."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from pplcnet.data.dataset import Dataset
from pplcnet.tasks.classification.losses import ClassLoss, balanced_weights


def test_balanced_weights_sum_to_the_same_for_every_class(common_photos: Path) -> None:
    dataset = Dataset.open(common_photos)
    dataset = dataset.keep(
        [each for at, each in enumerate(dataset.images) if each.shown[0] or at < 3]
    )
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


def test_an_image_without_a_class_adds_nothing_to_the_class_loss() -> None:
    targets = np.asarray([[1, 0], [0, 0]], np.float32)
    losses = ClassLoss(label_smoothing=0.1).call(targets, np.ones((2, 2), np.float32))
    assert float(losses[0]) > 0
    assert float(losses[1]) == 0
