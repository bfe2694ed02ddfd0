"""One epoch: results are read late, and still all of them, or none that is not finite."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.errors import TrainingDiverged
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.batches import Batch
from pplcnet.training.checkpoint import Progress
from pplcnet.training.epoch import READ_EVERY, _placed, _Tally, diverged

RECIPE = Recipe(batch_size=16, learning_rate=0.1)


def _tally() -> tuple[Progress, _Tally]:
    progress = Progress(options={})
    progress.metric_sums = {"top1": 0.0}
    return progress, _Tally(progress, RECIPE)


def test_losses_are_summed_in_order_whenever_they_are_read() -> None:
    values = np.random.default_rng(0).random(3 * READ_EVERY + 5).astype(np.float32)
    progress, tally = _tally()
    for value in values:
        tally.add({"loss": value, "top1": value})
    assert progress.loss_sum < sum(map(float, values))  # the latest are still on the device
    tally.read()
    assert progress.loss_sum == sum(map(float, values))
    assert progress.metric_sums == {"top1": progress.loss_sum}


def test_a_loss_that_is_nan_ends_the_training_within_some_steps() -> None:
    _, tally = _tally()
    tally.add({"loss": np.float32(np.nan), "top1": 0.0})
    for _ in range(READ_EVERY - 2):
        tally.add({"loss": 1.0, "top1": 0.0})
    with pytest.raises(TrainingDiverged, match="NaN or infinite in epoch 1"):
        tally.add({"loss": 1.0, "top1": 0.0})


def test_the_advice_names_clipping_only_where_it_is_off() -> None:
    assert "gradient_clip" in str(diverged(1, RECIPE.changed({"gradient_clip": 0.0})))
    assert "gradient_clip" not in str(diverged(1, RECIPE.changed({"gradient_clip": 1.0})))


def test_a_batch_is_placed_before_the_one_before_it_is_trained_on() -> None:
    happened: list[str] = []

    class Step:
        def place(self, values: np.ndarray) -> np.ndarray:
            happened.append(f"place {values[0]}")
            return values

        def __call__(self, images: np.ndarray, targets: np.ndarray) -> dict[str, float]:
            return {}

        def finish(self) -> None:
            pass

    batches = [Batch(np.full(1, each), np.full(1, each)) for each in range(3)]
    for images, _ in _placed(batches, Step()):
        happened.append(f"train {images[0]}")
    order = list(dict.fromkeys(happened))  # images and targets are placed one after the other
    assert order == ["place 0", "place 1", "train 0", "place 2", "train 1", "train 2"]
