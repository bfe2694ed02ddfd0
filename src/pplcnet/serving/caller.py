"""Who asks, and what is counted of a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def counted(served: Served, caller: Caller) -> Iterator[Served]:
    """Within, a request is under way with a model; afterwards it is in its statistics."""
    caller.served = served
    result = "fail"
    try:
        with served:
            yield served
        result = "success"
    except asyncio.CancelledError:
        result = "cancel"
        raise
    finally:
        taken = time.monotonic() - caller.received_at
        served.statistics.count_request(result, round(taken * 1e9), round(time.time() * 1000))
