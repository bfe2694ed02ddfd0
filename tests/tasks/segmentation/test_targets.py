"""Masks of a data set as training takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pplcnet.data.masks import IGNORED
from pplcnet.errors import ImageError
from pplcnet.tasks.segmentation.targets import (
    MaskTargets,
    balanced_weights,
    read_mask,
    resize_nearest,
)
from tests.tasks.segmentation.masks import blobs, dataset_of, write_mask


def test_a_mask_lies_on_a_picture_of_any_size(tmp_path: Path) -> None:
    classes = blobs(0)
    targets = MaskTargets(dataset_of(tmp_path, [blobs(1), classes]))
    assert len(targets) == 2
    np.testing.assert_array_equal(read_mask(targets[1], classes.shape), classes)
    small = read_mask(targets[1], (16, 24))
    np.testing.assert_array_equal(small, classes[1::2, 1::2])
    assert (small.dtype, small.flags.c_contiguous) == (np.uint8, True)


@pytest.mark.parametrize("size", [(3, 4), (7, 50), (64, 96)])
def test_each_new_pixel_has_the_class_at_its_middle(size: tuple[int, int]) -> None:
    classes = blobs(2)
    places = [
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, classes.shape, strict=True)
    ]
    np.testing.assert_array_equal(resize_nearest(classes, size), classes[np.ix_(*places)])


def test_balanced_weights_are_those_of_the_pixels(tmp_path: Path) -> None:
    masks = [np.zeros((4, 10), np.uint8), np.full((4, 10), 1, np.uint8)]
    masks[1][:, :5] = IGNORED
    weights = balanced_weights(dataset_of(tmp_path, masks))
    assert weights == pytest.approx([60 / (3 * 40), 60 / (3 * 20), 60 / 3])


def test_a_mask_that_has_changed_is_not_learned_from(tmp_path: Path) -> None:
    targets = MaskTargets(dataset_of(tmp_path, [blobs(0)]))
    write_mask(targets[0].path, blobs(5))
    with pytest.raises(ImageError, match="has changed"):
        read_mask(targets[0], (32, 48))
