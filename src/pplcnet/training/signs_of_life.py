"""Progress messages of a training before its first epoch is over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from pplcnet.system.wording import duration
from pplcnet.training.devices import Step
from pplcnet.training.setup import FitContext

__all__ = ["with_signs_of_life"]

UNTIMED_STEPS, TIMED_STEPS = 3, 12
"""The first steps compile; the following ones tell how long the training will take."""


def with_signs_of_life(step: Step, context: FitContext, steps: int) -> Step:
    """The step, announcing its first call, which compiles for many seconds, and timing the next.

    Args:
        steps: steps left until the end of the training.
    """
    return _Announced(step, context, steps)


class _Announced:
    def __init__(self, step: Step, context: FitContext, steps: int) -> None:
        self.place, self.finish = step.place, step.finish
        self._step, self._context, self._steps = step, context, steps
        self._done, self._started = 0, 0.0

    def __call__(self, images: Any, targets: Any) -> Mapping[str, Any]:
        with nullcontext() if self._done else self._context.busy("compiling the first step"):
            logs = self._step(images, targets)
        self._done += 1
        if self._done == UNTIMED_STEPS:
            float(logs["loss"])  # waits for the device
            self._started = time.perf_counter()
        elif self._done == UNTIMED_STEPS + TIMED_STEPS and self._steps >= 2 * self._done:
            float(logs["loss"])
            seconds = (time.perf_counter() - self._started) / TIMED_STEPS
            left = duration(seconds * (self._steps - self._done))
            self._context.report(f"about {left} to go, judging by the first {self._done} steps")
        return logs
