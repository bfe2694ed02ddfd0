"""What a training says of itself before its first epoch is over."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.system.wording import duration
from pplcnet.training.devices import Step
from pplcnet.training.setup import FitContext

__all__ = ["with_signs_of_life"]

UNTIMED_STEPS, TIMED_STEPS = 3, 12
"""The first steps compile; those after them tell how long the training will take."""


def with_signs_of_life(step: Step, context: FitContext, steps: int) -> Step:
    """The same step; the first is announced, as it compiles for many seconds, the next are timed.

    Args:
        steps: what is left to the end of the training.
    """
    done, started = 0, 0.0

    def announced(images: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, Any]:
        nonlocal done, started
        with nullcontext() if done else context.busy("compiling the first step"):
            logs = step(images, targets)
        done += 1
        if done == UNTIMED_STEPS:
            started = time.perf_counter()
        elif done == UNTIMED_STEPS + TIMED_STEPS and steps >= 2 * done:
            seconds = (time.perf_counter() - started) / TIMED_STEPS * (steps - done)
            context.report(f"about {duration(seconds)} to go, by the first {done} steps")
        return logs

    return announced
