"""The recipe field of the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pplcnet.recipe.task_options import TaskOptions
from pplcnet.recipe.values import Between


@dataclass(frozen=True, slots=True, kw_only=True)
class CountOptions(TaskOptions):
    data: ClassVar[str] = "colour-count"

    huber_delta: Annotated[float, Between(0.1, 10)] = 1.0
    """Errors above it count linearly."""


OPTIONS = CountOptions
