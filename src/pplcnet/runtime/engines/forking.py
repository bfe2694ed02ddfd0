"""Open engines do not survive a fork: their threads stay in the parent."""

from __future__ import annotations

import os
from typing import Any, Protocol
from weakref import WeakSet

__all__ = ["abandon", "watch"]


class HoldsEngines(Protocol):
    """An object that opens engines and can reopen them."""

    def after_fork(self) -> None:
        """Called in the child process before anything else runs there."""
        ...


_watched: WeakSet[Any] = WeakSet()


def watch(holder: HoldsEngines) -> None:
    """Call `holder.after_fork()` in every process forked from this one."""
    _watched.add(holder)


def abandon(engines: object) -> None:
    """Never free the parent's engines in this process, which would wait for their threads.

    Not even at exit, so one reference to them is never released.
    """
    import ctypes  # 10 ms that only a forked process needs

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(engines))


def _after_fork_in_child() -> None:
    for holder in list(_watched):
        holder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
