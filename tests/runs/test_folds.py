"""The folds of `pplcnet suspects`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.annotations import ClassLabel
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.runs.folds import fold_of_each


def test_every_image_is_in_one_fold_and_copies_share_it() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    images = tuple(LabelledImage(Path(f"{at:02}.png"), ClassLabel(at % 2)) for at in range(16))
    dataset = Dataset(Path(), ("a", "b"), images)
    assert sorted(fold_of_each(dataset, 4, 0, [])) == [fold for fold in range(4) for _ in range(4)]
    copies = [[images[0].path, images[2].path, images[4].path]]
    fold_of = fold_of_each(dataset, 4, 0, copies)
    assert len({*fold_of[[0, 2, 4]].tolist()}) == 1
