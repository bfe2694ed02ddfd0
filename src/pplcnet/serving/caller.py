"""The caller of a request, and what is counted for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pplcnet.serving.served import Served

__all__ = ["Caller", "counted"]


@dataclass(eq=False)
class Caller:
    """The caller of one request: its deadline, whether it has gone away, and what to log."""

    client: str = ""
    """Its address."""
    received_at: float = field(default_factory=time.monotonic)
    """time.monotonic() of the request's last byte."""
    timeout: float | None = None
    """The caller's own time limit in seconds, if shorter than the server's."""
    served: Served | None = None
    photos: int = 0
    queue_ns: int = 0
    """Of the photo that waited longest."""
    work_ns: int = 0
    """Total of all photos."""
    is_gone: bool = False
    _give_up: Callable[[], None] | None = None

    def leave(self) -> None:
        """The client has gone away: pending work for it is dropped."""
        self.is_gone = True
        if self._give_up is not None:
            self._give_up()


class counted:  # noqa: N801 - is used as a function
    """Within the context, a request counts as pending; on exit it is added to the statistics."""

    __slots__ = ("_caller", "_served")

    def __init__(self, served: Served, caller: Caller) -> None:
        self._served, self._caller = served, caller
        caller.served = served

    def __enter__(self) -> Served:
        return self._served.__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._served.__exit__()
        result = "success"
        if kind is not None:
            result = "cancel" if issubclass(kind, asyncio.CancelledError) else "fail"
        taken = time.monotonic() - self._caller.received_at
        now = round(time.time() * 1000)
        self._served.statistics.count_request(result, round(taken * 1e9), now)
