"""Ctrl-C between two steps, not within one."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["interrupts_deferred"]


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C only sets a flag; a second one stops at once, as always."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    was_interrupted = False
    previous = signal.getsignal(signal.SIGINT)

    def remember(*_: object) -> None:
        nonlocal was_interrupted
        if was_interrupted:
            raise KeyboardInterrupt
        was_interrupted = True
        print("\nfinishing this step, then saving ...", file=sys.stderr, flush=True)

    signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: was_interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
