"""RandAugment and its relatives: images stay images, and draws come from the generator."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pplcnet.imaging.augmentation import augment_image
from pplcnet.imaging.augmentation_policies import OPERATIONS, trivial_augment


def _image() -> np.ndarray:
    small = np.random.default_rng(1).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((48, 40), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_at_full_strength_keeps_size_and_changes_the_image(name: str) -> None:
    operation, full, _ = OPERATIONS[name]
    before = Image.fromarray(_image())
    after = operation(before, full)
    assert (after.size, after.mode) == (before.size, "RGB")
    # This image's contrast is nearly full already.
    if name not in ("identity", "autocontrast"):
        assert np.abs(np.asarray(after, int) - np.asarray(before, int)).max() > 4


@pytest.mark.parametrize(
    "name",
    [
        "rotate",
        "shear_x",
        "shear_y",
        "translate_x",
        "translate_y",
        "color",
        "contrast",
        "brightness",
        "sharpness",
        "posterize",
    ],
)
def test_an_operation_without_strength_changes_nothing(name: str) -> None:
    before = _image()
    after = np.asarray(OPERATIONS[name][0](Image.fromarray(before), 0.0))
    assert np.abs(after.astype(int) - before).max() <= 1


@pytest.mark.parametrize("augment", ["randaugment", "autoaugment", "trivialaugment"])
def test_the_same_draws_give_the_same_image_and_other_draws_another(augment: str) -> None:
    images = [
        augment_image(_image(), augment, np.random.default_rng(seed), operations=2, magnitude=20)
        for seed in (*range(8), 0)
    ]
    np.testing.assert_array_equal(images[0], images[-1])
    assert len({each.tobytes() for each in images}) > 3
    assert all(each.dtype == np.uint8 and each.shape == (40, 48, 3) for each in images)


def test_no_augmentation_is_the_image_itself() -> None:
    image = _image()
    assert (
        augment_image(image, "none", np.random.default_rng(0), operations=2, magnitude=7) is image
    )


def test_trivial_augment_uses_every_operation_but_invert() -> None:
    seen = {
        trivial_augment(Image.fromarray(_image()), np.random.default_rng(seed)).tobytes()
        for seed in range(200)
    }
    assert len(seen) > 100
