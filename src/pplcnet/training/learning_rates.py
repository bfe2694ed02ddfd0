"""The learning-rate range test: the loss while the learning rate rises at every step.

Leslie N. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section
3.3, with an exponential rise in place of his linear one, and the loss in place of the accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError, RecipeError, require
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.files import replacing, write_csv
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.head_only import FeatureBatches
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.setup import build_trainable

__all__ = ["RangeTest", "draw_range_test", "run_range_test", "write_range_test"]

LOWEST = 1e-4
STEPS = 100
SMOOTHING = 0.9
STOP_AT = 4.0


class RangeTest(NamedTuple):
    """Loss against learning rate, one entry per step, the rates ascending."""

    learning_rates: NDArray[np.float64]
    """(N,) learning rates in the recipe's unit: for a batch of 256."""
    losses: NDArray[np.float64]
    """(N,) loss on the step's batch, before the update."""
    smoothed: NDArray[np.float64]
    """(N,) exponential moving average of the losses, bias-corrected."""

    @property
    def has_diverged(self) -> bool:
        """Whether the test ended before its last step."""
        return len(self.losses) < STEPS

    @property
    def lowest(self) -> int:
        """The step with the lowest smoothed loss."""
        return int(self.smoothed.argmin())

    @property
    def falls(self) -> bool:
        """Whether the smoothed loss fell at all; the suggestions depend on it."""
        return self.lowest >= 2

    @property
    def steepest(self) -> float:
        """The rate at which the smoothed loss falls fastest before its minimum.

        Measured over ten steps: the difference between two neighbours is mostly batch noise.
        """
        until = self.lowest + 1
        half = min(5, (until - 1) // 2)
        if half == 0:
            return float(self.learning_rates[0])
        falls = self.smoothed[: until - 2 * half] - self.smoothed[2 * half : until]
        return float(self.learning_rates[half + int(falls.argmax())])

    @property
    def tenth_of_lowest(self) -> float:
        """A tenth of the rate with the lowest smoothed loss, but within the range tested."""
        tenth = self.learning_rates[self.lowest] / 10
        return float(max(tenth, self.learning_rates[0]))


def run_range_test(
    train_set: Dataset,
    recipe: Recipe,
    *,
    steps: int = STEPS,
    image_cache: ImageCache | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> RangeTest:
    """Train for `steps` steps, from 1e-4 to 10 times the default learning rate of the recipe.

    It stops when the smoothed loss is 4 times its minimum, NaN or infinite. Everything but the
    learning rate follows the recipe (weights, frozen stages, augmentation, optimiser), but at full
    image size, on one device, and without averaging over steps (ema, gradient_accumulation).

    Args:
        train_set: images to learn from.
        steps: at least 2.
        image_cache: decoded images, shared with others that read the same files.
        report: called with lines about the preparation of the test.

    Raises:
        WeightsError: the recipe's weights cannot be fetched or read, or do not fit.
        InputError: the loss is NaN or infinite at the lowest learning rate.
        RecipeError: a recipe with a teacher or a second student.
    """
    if recipe.options.distils:
        raise RecipeError(
            "the range test needs plain training; leave out the teacher and distillation=mutual."
        )
    recipe = replace(recipe, progressive_resizing=1.0, devices=1, gradient_accumulation=1, ema=0.0)
    if recipe.options.multi_scale:  # every size would be compiled, just for a hundred steps
        recipe = recipe.changed({"multi_scale": 0})
    usual = adapted(replace(recipe, learning_rate=None), len(train_set))
    recipe = replace(usual, learning_rate=1.0)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        trainable = build_trainable(train_set, recipe, image_cache=image_cache, report=report)
    finally:
        keras.config.set_dtype_policy(policy)
    model = trainable.model
    # The factor from the recipe's unit to the rate at its batch size.
    scale = recipe.peak_learning_rate
    highest = 10 * usual.peak_learning_rate / scale
    # Before the first step, which fixes the graph. Its rate after n steps is exactly
    # lowest * (highest / lowest) ** (n / (steps - 1)).
    model.optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(
        LOWEST * scale, decay_steps=steps - 1, decay_rate=highest / LOWEST
    )
    rates = LOWEST * (highest / LOWEST) ** (np.arange(steps) / (steps - 1))
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    for images, targets in _endless(trainable.batches, steps):
        model.reset_metrics()
        loss = float(model.train_on_batch(images, targets, return_dict=True)["loss"])
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        corrected = average / (1 - SMOOTHING ** (len(losses) + 1))
        if not math.isfinite(corrected):
            break
        losses.append(loss)
        smoothed.append(corrected)
        if corrected > STOP_AT * min(smoothed):
            break
    if len(losses) < 2:
        raise InputError(
            f"the loss is NaN or infinite at a learning rate of {LOWEST} already (step "
            f"{len(losses) + 1}): check the photos and the weights."
        )
    return RangeTest(rates[: len(losses)], np.asarray(losses), np.asarray(smoothed))


def write_range_test(test: RangeTest, path: Path) -> None:
    """A CSV file with a row per step: learning_rate (for a batch of 256), loss, smoothed_loss."""
    rows = (
        [f"{rate:.6g}", f"{loss:.5f}", f"{mean:.5f}"]
        for rate, loss, mean in zip(*test, strict=True)
    )
    write_csv(path, ["learning_rate", "loss", "smoothed_loss"], rows)


def draw_range_test(test: RangeTest, path: Path) -> None:
    """Plot the losses against the learning rate as PNG, with both suggestions if the loss fell."""
    require("matplotlib", purpose="drawing the losses", extra="train")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(test.learning_rates, test.losses, color="#b8c4d6", linewidth=0.9, label="loss")
    axes.plot(test.learning_rates, test.smoothed, color="#1f4e8c", linewidth=1.8, label="smoothed")
    suggestions = (
        (test.steepest, "-", "steepest fall"),
        (test.tenth_of_lowest, "--", "tenth of the minimum's"),
    )
    if not test.falls:
        axes.set_title("no suggestion: the loss did not fall", fontsize=10, loc="left")
    for rate, style, name in suggestions if test.falls else ():
        label = f"{name}: {rate:.2g}"
        axes.axvline(rate, color="#c0392b", linestyle=style, linewidth=1.1, label=label)
    axes.set_xscale("log")
    # The curve may leave the axes where the loss diverges; only the fall before it matters.
    axes.set_ylim(0.8 * test.smoothed.min(), 1.4 * test.smoothed[0])
    axes.set_xlabel("learning rate for a batch of 256, as the recipe's field")
    axes.set_ylabel("training loss")
    axes.legend(fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as file:
        figure.savefig(file, format="png")


def _endless(
    batches: TrainingBatches | FeatureBatches, steps: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[Any]]]:
    """Yield `steps` batches with their targets, epoch after epoch."""
    epoch = 0
    while steps > 0:
        for images, targets in batches.epoch(epoch):
            if steps == 0:
                break
            steps -= 1
            yield images, targets
        epoch += 1
