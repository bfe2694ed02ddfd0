"""A segmenter's training: views by seed, epoch and image alone, and runs that were stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.data.masks import IGNORED
from pplcnet.errors import TrainingInterrupted
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.segmentation.options import SegmentationOptions
from pplcnet.training import checkpoint
from pplcnet.training.batches import Batch, TrainingBatches
from pplcnet.training.history import history_columns
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.setup import build_trainable
from pplcnet.training.train import train
from pplcnet.weights import native
from pplcnet.weights.bundled import restore_model
from tests.tasks.segmentation.masks import blobs, dataset_of
from tests.training.steps import stop_after

pytestmark = pytest.mark.usefixtures("shallow_networks")

RECIPE = Recipe(options=SegmentationOptions(rotation=5.0, vertical_flip=True)).changed(
    {
        "model": "mobileseg_pplcnet_x0_25", "image_size": [32, 48], "weights": None, "epochs": 2,
        "batch_size": 4, "resize": "stretch", "ema": 0.9, "ema_warmup": True,
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    folder = tmp_path_factory.mktemp("masks")
    dataset = dataset_of(folder, [blobs(at, (48, 72)) for at in range(11)])
    return dataset.keep(dataset.images[:8]), dataset.keep(dataset.images[8:])


def _epoch(dataset: Dataset, epoch: int, **fields: object) -> list[Batch]:
    recipe = RECIPE.changed(fields)
    return list(TrainingBatches(dataset, recipe, preprocessing_of(recipe)).epoch(epoch))


def test_masks_lie_on_their_photos_in_every_batch(parts: tuple[Dataset, Dataset]) -> None:
    for images, classes in _epoch(parts[0], 0, colour_jitter=0.0):
        assert images.shape == (4, 32, 48, 3)
        assert classes.shape == (4, 32, 48)
        assert set(np.unique(classes)) <= {0, 1, 2, IGNORED}
        # Blue tells the classes of these photos: 40, 130, 160.
        for at, (low, high) in enumerate(((20, 60), (110, 150), (140, 180))):
            blue = images[..., 2][classes == at]
            assert np.mean((blue >= low) & (blue <= high)) > 0.7


def test_batches_are_the_same_whatever_reads_the_masks(parts: tuple[Dataset, Dataset]) -> None:
    one = _epoch(parts[0], 1, workers=1, cache_gigabytes=0.0)
    others = [_epoch(parts[0], 1, workers=2)]
    if hasattr(os, "memfd_create"):
        others.append(_epoch(parts[0], 1, workers=2, worker_processes=True))
    for other in others:
        for expected, found in zip(one, other, strict=True):
            np.testing.assert_array_equal(expected.images, found.images)
            np.testing.assert_array_equal(expected.targets, found.targets)
    another = _epoch(parts[0], 2)
    assert not np.array_equal(one[0].targets, another[0].targets)


def test_a_saved_state_has_the_heads_that_only_training_has(
    parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    trained, another = (
        build_trainable(parts[0], RECIPE.changed({"seed": seed}), report=print) for seed in (0, 1)
    )
    checkpoint.save(tmp_path / "state.npz", trained.model, trained.network, trained.progress)
    columns = history_columns((), "miou")
    checkpoint.read(tmp_path / "state.npz").restore(another.model, another.network, columns)
    pairs = list(zip(trained.model.variables, another.model.variables, strict=True))
    assert len(pairs) > len(trained.network.variables)
    for one, other in pairs:
        np.testing.assert_array_equal(value_of(one), value_of(other), err_msg=one.path)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    whole = train(RECIPE, *parts, out=tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3)  # within the second epoch
        with pytest.raises(TrainingInterrupted, match="in epoch 2"):
            train(RECIPE, *parts, out=tmp_path / "stopped")
    resumed = train(RECIPE, *parts, out=tmp_path / "stopped", resume=True)
    assert resumed.history[0]["loss"] == whole.history[0]["loss"]
    one, other = (
        native.get_values(restore_model(Bundle.open(each.bundle))) for each in (whole, resumed)
    )
    # The heads that only training has are not in the bundle.
    assert not any(name.startswith("head_1") for name in one)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert 0 <= whole.validation_score == resumed.validation_score <= 1


ROOT = Path(__file__).resolve().parents[3]
ALONE = """
import sys
from pathlib import Path
from pplcnet.training.train import train
from tests.shallow import shallow_networks
from tests.tasks.segmentation.masks import blobs, dataset_of
from tests.tasks.segmentation.test_resuming import RECIPE
masks, backbones, *folders = map(Path, sys.argv[1:])
dataset = dataset_of(masks, [blobs(at, (48, 72)) for at in range(11)])
parts = dataset.keep(dataset.images[:8]), dataset.keep(dataset.images[8:])
report = lambda line: print(line, flush=True)
with shallow_networks(backbones):
    for out in folders:
        recipe = RECIPE.changed({"epochs": 8})
        train(recipe, *parts, out=out, resume=True, report=report)
"""


@pytest.mark.slow
def test_sigkill_loses_at_most_an_epoch_and_resuming_ends_with_the_same_weights(
    tmp_path: Path,
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = [sys.executable, "-c", ALONE, str(tmp_path / "masks"), str(tmp_path / "backbones")]
    started = partial(
        subprocess.Popen, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    )
    with started([*command, str(cut)]) as process:
        finished = (line for line in process.stdout if line.startswith("epoch"))
        for _ in range(2):
            assert next(finished)
        time.sleep(0.02)  # somewhere within the third
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (cut / "model.bundle").exists()
    with started([*command, str(cut), str(whole)]) as process:
        epochs = [int(line[5:].partition("/")[0]) for line in process.stdout if line[:5] == "epoch"]
    assert process.returncode == 0
    assert 3 <= epochs[0] <= 8
    assert epochs[-8:] == list(range(1, 9))
    one, other = (
        native.get_values(restore_model(Bundle.open(each / "model.bundle")))
        for each in (cut, whole)
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
