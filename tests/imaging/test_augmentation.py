"""Random crops and erased rectangles stay within what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.imaging.augmentation import erase_rectangle, random_crop_box


@pytest.mark.parametrize("size", [(500, 375), (30, 900), (1, 1)])
def test_random_crops_stay_inside_and_keep_their_area(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        left, top, width, height = random_crop_box(size, (0.3, 0.8), (0.75, 1.33), generator)
        assert left >= 0
        assert top >= 0
        assert 0 < width <= size[0] - left
        assert 0 < height <= size[1] - top
        if size == (500, 375):
            assert 0.28 < width * height / (500 * 375) < 0.82


def test_erasing_changes_2_to_33_percent() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    for seed in range(20):
        part = (erase_rectangle(image, np.random.default_rng(seed)) > 0).any(axis=-1).mean()
        assert 0.01 < part < 0.36
