"""Runs the steps of one epoch, waiting for the device as little as possible."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tqdm import tqdm

from pplcnet.errors import ImageError, TrainingDiverged
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.batches import Batch
from pplcnet.training.checkpoint import Progress
from pplcnet.training.devices import Step
from pplcnet.training.setup import Prepared

__all__ = ["diverged", "run_epoch"]

# Reading a loss waits for its step. So losses are read some steps late, while the device has
# others queued; a NaN loss is noticed equally late.
READ_EVERY = 16
STEPS_QUEUED = 4


def run_epoch(
    train_step: Step, run: Prepared, recipe: Recipe, interrupted: Callable[[], int]
) -> float:
    """Run one epoch and return images/s.

    An interruption or an unreadable image leaves `progress.step` above 0.

    Raises:
        ImageError: an image can no longer be read; the model and the progress are up to date.
        TrainingDiverged: the loss became NaN or infinite, at most READ_EVERY steps before.
    """
    progress, batches, metrics = run.progress, run.trainable.batches, run.trainable.metrics
    first_step = progress.step
    if first_step == 0:
        progress.loss_sum, progress.metric_sums = 0.0, dict.fromkeys(metrics, 0.0)
    progress.step = 0
    started = time.perf_counter()
    tally = _Tally(progress, recipe)
    with tqdm(
        total=batches.steps_per_epoch * batches.batch_size,
        initial=first_step * batches.batch_size,
        desc=f"epoch {progress.epoch + 1}/{recipe.epochs}",
        unit=" images",
        leave=False,
        disable=None,
        file=sys.stderr,
    ) as bar:
        step = first_step
        try:
            parts = batches.epoch(progress.epoch, first_step, run.part)
            for images, targets in _placed(parts, train_step):
                tally.add(train_step(images, targets))
                step += 1
                bar.update(batches.batch_size)
                bar.set_postfix(loss=f"{tally.mean_loss(step):.3f}", refresh=False)
                if interrupted() and step < batches.steps_per_epoch:
                    progress.step = step
                    break
        except ImageError:
            progress.step = step
            tally.read()
            raise
        finally:
            train_step.finish()
        tally.read()
    done = (step - first_step) * batches.batch_size
    return done / max(time.perf_counter() - started, 1e-9)


class _Tally:
    """Adds the losses and metrics of an epoch's steps to the progress, some steps late."""

    def __init__(self, progress: Progress, recipe: Recipe) -> None:
        self._progress, self._recipe = progress, recipe
        self._unread: deque[Mapping[str, Any]] = deque()

    def add(self, logs: Mapping[str, Any]) -> None:
        """Queue a step's results, and read some old ones that are computed by now."""
        self._unread.append(logs)
        if len(self._unread) >= READ_EVERY:
            self.read(keep=STEPS_QUEUED)

    def read(self, *, keep: int = 0) -> None:
        """Add up all but the latest `keep` results; TrainingDiverged if the sum is not finite."""
        progress = self._progress
        while len(self._unread) > keep:
            logs = self._unread.popleft()
            progress.loss_sum += float(logs["loss"])
            for name in progress.metric_sums:
                progress.metric_sums[name] += float(logs[name])
        if not math.isfinite(progress.loss_sum):
            raise diverged(progress.epoch + 1, self._recipe)

    def mean_loss(self, steps: int) -> float:
        """Mean loss of the epoch's first `steps` steps, as far as they have been read."""
        return self._progress.loss_sum / max(1, steps - len(self._unread))


def _placed(batches: Iterable[Batch], step: Step) -> Iterator[tuple[Any, Any]]:
    """Yield the batches on the device; each is copied while the previous one is computed."""
    ahead: tuple[Any, Any] | None = None
    for images, targets in batches:
        following = step.place(images), step.place(targets)
        if ahead is not None:
            yield ahead
        ahead = following
    if ahead is not None:
        yield ahead


def diverged(epoch: int, recipe: Recipe) -> TrainingDiverged:
    """The error for a loss that is no longer finite, with advice."""
    rate = recipe.peak_learning_rate / recipe.changed({"learning_rate": 1.0}).peak_learning_rate
    clip = "" if recipe.gradient_clip else ", or with gradient_clip=1"
    return TrainingDiverged(
        f"the loss became NaN or infinite in epoch {epoch}: learning_rate={rate:.3g} (for a batch "
        "of 256, as in the recipe) is probably too high; train again with a lower one, such as "
        f"learning_rate={rate / 4:.2g} (--find-learning-rate suggests one){clip}."
    )
