"""Watching the steps of a training from a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import pytest

from pplcnet.training import loop
from pplcnet.training.devices import Devices, Step


def after_each_step(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    """Have `call` called after every training step, however the backend computes it."""
    own = Devices.step_of

    def step_of(devices: Devices, model: keras.Model) -> Step:
        step = own(devices, model)

        class Watched:
            place, finish = step.place, step.finish

            def __call__(self, images: Any, targets: Any) -> Mapping[str, Any]:
                logs = step(images, targets)
                call()
                return logs

        return Watched()

    monkeypatch.setattr(Devices, "step_of", step_of)


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Ctrl-C comes during so many steps of training."""
    done: list[None] = []
    after_each_step(monkeypatch, lambda: done.append(None))

    @contextmanager
    def deferred() -> Iterator[Callable[[], bool]]:
        yield lambda: len(done) >= steps

    monkeypatch.setattr(loop, "interrupts_deferred", deferred)
