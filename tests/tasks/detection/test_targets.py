"""Boxes of a data set as training takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pplcnet.data.annotations import Boxes
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.tasks.detection.targets import BoxTargets


def box_dataset() -> Dataset:
    """Three photos that are never opened: two boxes and a crowd, one box, none."""
    said = (
        Boxes.make([[0, 0, 50, 100], [100, 50, 200, 100], [0, 0, 9, 9]], [2, 0, 1],
                   is_crowd=[False, False, True], size=(200, 100)),
        Boxes.make([[10, 20, 30, 40]], [1], size=(40, 80)),
        Boxes.make([], [], size=(40, 80)),
    )  # fmt: skip
    images = tuple(LabelledImage(Path(f"{at}.jpg"), each) for at, each in enumerate(said))
    return Dataset(Path(), ("a", "b", "c"), images, task="detection")


def test_boxes_are_parts_of_the_photo_and_rows_are_filled_up() -> None:
    targets = BoxTargets(box_dataset())
    assert len(targets) == 3
    empty = [0, 0, 0, 0, -1]
    np.testing.assert_allclose(targets[0], [[0, 0, 0.25, 1, 2], [0.5, 0.5, 1, 1, 0]])
    np.testing.assert_allclose(targets[1], [[0.25, 0.25, 0.75, 0.5, 1], empty])
    np.testing.assert_allclose(targets[2], [empty, empty])
    assert targets[0].dtype == np.float32


def test_photos_without_any_box_have_a_row(tmp_path: Path) -> None:
    dataset = box_dataset()
    targets = BoxTargets(dataset.keep([dataset.images[2]]))
    assert targets[0].tolist() == [[0, 0, 0, 0, -1]]
