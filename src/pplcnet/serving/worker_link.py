"""The server's side of one worker process: start, ask, stop."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from pplcnet.serving.frames import Buffer, FrameError, FrameReader, pack

__all__ = ["Reply", "WorkerDied", "WorkerLink"]

Reply = tuple[dict[str, Any], bytes]


class WorkerDied(Exception):  # noqa: N818 - what happened
    """The worker process ended before it replied."""


class WorkerLink(asyncio.Protocol):
    """A worker process, which handles one request at a time.

    `loaded` holds the serial numbers of its models; `busy_since` is when it was given its current
    work, None while it is idle.
    """

    def __init__(self, on_death: Callable[[WorkerLink], None]) -> None:
        self.loaded: set[int] = set()
        self.is_set_up = False
        self.busy_since: float | None = None
        self.limit = 0.0
        """Seconds that its current work may take."""
        self.is_taken = True
        """Whether it is working, or reserved for a caller."""
        self.reservations: deque[asyncio.Future[None]] = deque()
        """Callers waiting for this worker."""
        self.is_dead = False
        self._on_death = on_death
        self._on_reply: Callable[[Reply | WorkerDied], None] | None = None
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "pplcnet.serving.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        ours.setblocking(False)
        self._socket = ours

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def connect(self) -> None:
        """Attach the socket to the event loop."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, sock=self._socket)

    def give(
        self,
        message: dict[str, Any],
        payload: Sequence[Buffer],
        on_reply: Callable[[Reply | WorkerDied], None],
        *,
        limit: float,
    ) -> None:
        """Send a request; `on_reply` is called once, with the reply or when there will be none.

        Args:
            limit: seconds after which `is_overdue` is true.
        """
        assert self._on_reply is None  # noqa: S101 - one thing at a time
        if self.is_dead or self._transport is None:
            on_reply(WorkerDied())
            return
        self._on_reply = on_reply
        self.busy_since, self.limit = time.monotonic(), limit
        self._transport.writelines(pack(message, payload))

    async def ask(
        self, message: dict[str, Any], payload: Sequence[Buffer] = (), *, limit: float
    ) -> Reply:
        """Like `give`, but awaits the reply; WorkerDied if the worker dies."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def settle(reply: Reply | WorkerDied) -> None:
            if future.done():
                return
            if isinstance(reply, WorkerDied):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        self.give(message, payload, settle, limit=limit)
        return await future

    def is_overdue(self, now: float) -> bool:
        """Whether its current work takes longer than allowed."""
        return self.busy_since is not None and now - self.busy_since > self.limit

    def kill(self) -> None:
        """End the process now; `on_death` follows."""
        if self._process.poll() is None:
            self._process.kill()

    def wait(self) -> None:
        """Wait for a killed process to exit."""
        self._socket.close()
        self._process.wait()

    def close(self) -> None:
        """Let it exit after its current work."""
        if self._transport is not None:
            self._transport.close()
        else:
            self._socket.close()

    def has_ended(self) -> bool:
        """Whether the process has exited and been reaped."""
        return self._process.poll() is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1 << 30)

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        try:
            replies = list(self._reader.feed(data))
        except (FrameError, ValueError):  # whatever it sends can no longer be trusted
            self.kill()
            return
        for reply in replies:
            on_reply, self._on_reply, self.busy_since = self._on_reply, None, None
            if on_reply is None:
                self.kill()
                return
            on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol: the process has exited, or was told to."""
        self.is_dead = True
        on_reply, self._on_reply, self.busy_since = self._on_reply, None, None
        self._on_death(self)
        if on_reply is not None:
            on_reply(WorkerDied())
