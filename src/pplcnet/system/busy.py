"""How training says that something takes long."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

__all__ = ["Busy", "no_sign"]

Busy = Callable[[str], AbstractContextManager[None]]
"""Takes what is being done; within the context that it gives, a sign of life may be shown."""


def no_sign(text: str) -> AbstractContextManager[None]:
    """A `Busy` that shows nothing."""
    return nullcontext()
