"""Who asks, and what is counted of a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pplcnet.serving.served import Served

__all__ = ["Caller", "counted"]


@dataclass(eq=False)
class Caller:
    """Who asks, for the time of one request: deadline, going away, and what is to be logged."""

    client: str = ""
    """Its address."""
    received_at: float = field(default_factory=time.monotonic)
    """time.monotonic() of the request's last byte."""
    timeout: float | None = None
    """Seconds that the caller gives, where that is less than the server's own limit."""
    served: Served | None = None
    photos: int = 0
    queue_ns: int = 0
    """Of the photo that waited longest."""
    work_ns: int = 0
    """Of all photos together."""
    is_gone: bool = False
    _give_up: Callable[[], None] | None = None

    def leave(self) -> None:
        """The client has gone away: what waits for it need not be answered."""
        self.is_gone = True
        if self._give_up is not None:
            self._give_up()


class counted:  # noqa: N801 - is used as a function
    """Within, a request is under way with a model; afterwards it is in its statistics."""

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
