"""Makes Ctrl-C, SIGTERM and SIGHUP stop a run between two steps, not within one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StoppedBySignal", "interrupts_deferred", "signal_of", "signals_stop"]

# A stopped container sends SIGTERM, a closed terminal SIGHUP (which Windows does not have).
_ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class StoppedBySignal(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised where Ctrl-C would raise KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


def signal_of(stopped: KeyboardInterrupt) -> int:
    """The number of the signal behind an interrupt."""
    return stopped.number if isinstance(stopped, StoppedBySignal) else int(signal.SIGINT)


@contextmanager
def signals_stop() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise StoppedBySignal; a second one ends the process at once.

    A signal that is ignored stays ignored (nohup). Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise StoppedBySignal(number)

    with _handled(_ENDS, stop):
        yield


class _Flag:
    """The first signal that arrived: its number, 0 for none."""

    number = 0

    def __call__(self) -> int:
        return self.number


@contextmanager
def interrupts_deferred() -> Iterator[_Flag]:
    """Within, the first signal only sets a flag, whose number the yielded function returns.

    A second Ctrl-C raises KeyboardInterrupt; a second SIGTERM or SIGHUP ends the process.
    """
    flag = _Flag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def remember(number: int, _: FrameType | None) -> None:
        if flag.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
        flag.number = flag.number or number
        # Not print(), which may be running itself; and the terminal may have gone away.
        with contextlib.suppress(OSError):
            os.write(2, b"\nfinishing this step, then saving ...\n")

    with _handled((signal.SIGINT, *_ENDS), remember):
        yield flag


@contextmanager
def _handled(numbers: tuple[int, ...], handler: signal._HANDLER) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [
        number
        for number, previous in before.items()
        # None is a handler that was not set from Python, and could not be put back.
        if previous is not None and previous != signal.SIG_IGN
    ]
    for number in ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
