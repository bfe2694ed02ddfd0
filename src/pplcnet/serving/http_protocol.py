"""HTTP connections with limits that uvicorn lacks: time, header size, idle connections.

uvicorn waits indefinitely for a request and accepts headers of any size. Here every request must
be complete within a time from its first byte, or gets a 408; headers above a size get a 431; and
when the maximum number of connections is reached, the one idle longest is closed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pplcnet.serving.http_tensors import json_body

__all__ = ["BoundedProtocol", "Limits", "bounded_protocol"]

PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}

PART_BYTES = 128 << 10
"""Most photos arrive in one part, so the application is woken once."""


class Limits(NamedTuple):
    """Limits for a connection."""

    receive_timeout: float
    """Seconds from the first byte of a request, or from connecting, to its last byte."""
    header_bytes: int = 32 << 10
    connections: int = 512


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `on_gone` is called when the client goes away during a request."""

    limits: ClassVar[Limits]
    on_refused: ClassVar[Callable[[int], None]]
    """Called with the status of every request that ends here, before the application sees it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.on_gone: Callable[[], None] | None = None
        self.last_used = time.monotonic()
        self._is_receiving = self._has_headers = False
        self._head_bytes = 0
        self._has_progressed = False
        self._timer: asyncio.TimerHandle | None = None
        self._start_timer()
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        self._stop_timer()
        super().connection_lost(exc)
        if self.on_gone is not None:
            self.on_gone()

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        if self.transport.is_closing():
            return
        self.last_used = time.monotonic()
        self._has_progressed = False
        super().data_received(data)
        # Most requests arrive whole and need no timer. Line breaks before a request do.
        is_waiting = self._is_receiving or self.is_idle
        if is_waiting and self._timer is None and not self.transport.is_closing():
            self._start_timer()
        if self._has_progressed:
            self._head_bytes = 0
            return
        # The parser would keep buffering headers, trailers or a chunk size that never end.
        self._head_bytes += len(data)
        if self._head_bytes > self.limits.header_bytes and not self.transport.is_closing():
            self._refuse(
                431, f"headers may have at most {self.limits.header_bytes} bytes in total."
            )

    def on_message_begin(self) -> None:
        """Of the parser."""
        super().on_message_begin()
        self._is_receiving, self._has_headers = True, False
        self.scope["state"]["connection"] = self

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the parser; trailers after a chunked body are dropped."""
        if not self._has_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Of the parser."""
        self._has_progressed = True
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.header_bytes:
            self._refuse(
                431, f"headers may have at most {self.limits.header_bytes} bytes in total."
            )
            return
        self._has_headers = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Of the parser; passes whole bodies, or large parts of them, to the application."""
        self._has_progressed = True
        cycle = self.cycle
        if self.transport.is_closing() or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > PART_BYTES:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_chunk_header(self) -> None:
        """Of the parser."""
        self._has_progressed = True

    def on_message_complete(self) -> None:
        """Of the parser."""
        self._has_progressed = True
        self._is_receiving = False
        self._stop_timer()
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Of the answer in progress."""
        self.on_gone = None
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Send the error as JSON, like all errors."""
        self._refuse(400, "this is not an HTTP/1.1 request.")

    def shutdown(self) -> None:
        """The server is stopping: a request being received still gets an answer."""
        if self._is_receiving and (self.cycle is None or self.cycle.response_complete):
            return  # its answer closes the connection
        super().shutdown()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being received or answered."""
        return not self._is_receiving and (self.cycle is None or self.cycle.response_complete)

    def _make_room(self) -> None:
        others = [
            each
            for each in self.connections
            if isinstance(each, BoundedProtocol) and each is not self and each.is_idle
        ]
        if others:
            min(others, key=lambda each: each.last_used).transport.close()
        else:
            self.transport.close()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.limits.receive_timeout, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.pipeline or (self.cycle is not None and self.cycle.response_started):
            # The answer has been started, or an earlier one is still in progress.
            self.transport.close()
            return
        self._refuse(408, f"the request was not complete within {self.limits.receive_timeout:g} s.")

    def _refuse(self, status: int, message: str) -> None:
        """Answer here and close the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        type(self).on_refused(status)
        body = json_body({"error": message})
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, PHRASES[status], len(body), body)
        )
        self.transport.close()


def bounded_protocol(limits: Limits, on_refused: Callable[[int], None]) -> type[asyncio.Protocol]:
    """A subclass with these limits for uvicorn, which instantiates it per connection."""
    facts: dict[str, Any] = {"limits": limits, "on_refused": staticmethod(on_refused)}
    return type("LimitedProtocol", (BoundedProtocol,), facts)
