"""A detector's training that was stopped goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.data.shapes import SHAPES, write_shapes
from pplcnet.errors import TrainingInterrupted
from pplcnet.recipe.starts import recipe_by_start
from pplcnet.tasks.detection.options import DetectionOptions
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.train import train
from pplcnet.weights import native
from pplcnet.weights.bundled import restore_model
from tests.training.steps import stop_after

RECIPE = recipe_by_start(
    {
        "model": "picodet_x0_25", "image_size": [96, 96], "weights": None, "epochs": 3,
        "batch_size": 4, "multi_scale": 1, "learning_rate": 0.1, "optimizer": "sgd",
    },
    DetectionOptions,
)  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    folder = tmp_path_factory.mktemp("shapes")
    assert write_shapes(folder, 16) > 16
    dataset = Dataset.open(folder)
    assert dataset.classes == SHAPES
    return dataset.split(0.25, seed=0)


def test_batches_change_their_size_and_boxes_stay_inside(parts) -> None:
    batches = TrainingBatches(parts[0], RECIPE, preprocessing_of(RECIPE))
    sides, boxes = set(), 0
    for epoch in range(3):
        for images, targets in batches.epoch(epoch):
            side = images.shape[1]
            sides.add(side)
            found = targets[targets[..., 4] >= 0]
            boxes += len(found)
            assert (found[:, :4] >= 0).all()
            assert (found[:, :4] <= side).all()
            assert set(found[:, 4]) <= {0, 1, 2}
    assert len(sides) > 1
    assert sides <= {64, 96, 128}
    assert boxes > 30
    assert {each.images.shape[1] for each in batches.epoch(RECIPE.epochs)} == {96}


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(RECIPE, *parts, out=tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 5)  # within the second epoch, the first of TAL
        with pytest.raises(TrainingInterrupted, match="in epoch 2"):
            train(RECIPE, *parts, out=tmp_path / "stopped")
    resumed = train(RECIPE, *parts, out=tmp_path / "stopped", resume=True)
    assert resumed.history[:2] != resumed.history[1:]
    one, other = (
        native.get_values(restore_model(Bundle.open(each.bundle))) for each in (whole, resumed)
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
