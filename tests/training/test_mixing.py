"""Mixup and CutMix change images and targets by the same share."""

from __future__ import annotations

import numpy as np

from pplcnet.training.mixing import mix


def _images(count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), np.uint8)


def test_mixup_mixes_images_and_targets_by_the_same_part() -> None:
    images = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (0, 200)])
    targets = np.eye(2, dtype=np.float32)
    generator = np.random.default_rng(3)
    mixed, mixed_targets = mix(images, targets, generator, mixup=0.8)
    np.testing.assert_allclose(mixed[:, 0, 0, 0] / 200, mixed_targets[:, 1], atol=0.003)
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1, rtol=1e-6)


def test_cutmix_weighs_targets_by_the_area_that_was_pasted() -> None:
    images = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (0, 255)])
    for seed in range(20):
        mixed, targets = mix(
            images, np.eye(2, dtype=np.float32), np.random.default_rng(seed), cutmix=1.0
        )
        shown = (mixed[..., 0] == 255).mean(axis=(1, 2))
        np.testing.assert_allclose(shown, targets[:, 1], atol=1e-6)


def test_an_unknown_label_stays_unknown_when_mixed() -> None:
    targets = np.asarray([[1, np.nan], [0, 1]], np.float32)
    for seed in range(5):
        _, mixed = mix(_images(2), targets, np.random.default_rng(seed), mixup=1.0)
        assert np.isnan(mixed[0, 1])
