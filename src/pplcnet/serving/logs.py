"""The server's log on stderr: one line per event, as text or JSON."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Protocol

from pplcnet.serving.caller import Caller
from pplcnet.system.wording import json_text, printable

__all__ = ["TRACE_HEADER", "Log", "Logged"]

TRACE_HEADER = b"traceparent"


class Logged(Protocol):
    """The parts of a request that are logged."""

    caller: Caller
    headers: dict[bytes, str]
    id: str
    method: str
    path: str
    received: int
    """Bytes of the body."""


class Log:
    """Writes events, and requests if enabled. It never writes photos or their names."""

    def __init__(self, *, is_json: bool = False, has_access: bool = False) -> None:
        """Writes nothing before the first event."""
        self._is_json, self._has_access = is_json, has_access

    def event(self, event: str, /, **facts: Any) -> None:
        """Log an event with its facts."""
        now = time.time()
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
        if self._is_json:
            line = json_text({"time": at, "event": event, **facts})
        else:
            text = " ".join(f"{name}={value}" for name, value in facts.items())
            line = printable(f"{at} {event}{': ' if text else ''}{text}")
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads the log any more; the server goes on
            return

    def access(self, request: Logged, status: int, seconds: float) -> None:
        """Log a request that has ended."""
        if not self._has_access:
            return
        caller = request.caller
        facts: dict[str, Any] = {"id": request.id, "client": caller.client}
        if TRACE_HEADER in request.headers:
            facts["trace"] = request.headers[TRACE_HEADER][:64]
        facts |= {"method": request.method, "path": request.path[:200], "status": status}
        if caller.served is not None:
            facts |= {"model": caller.served.name, "version": caller.served.version}
        facts |= {
            "photos": caller.photos,
            "bytes": request.received,
            "ms": round(seconds * 1000, 1),
            "queue_ms": round(caller.queue_ns / 1e6, 1),
            "work_ms": round(caller.work_ns / 1e6, 1),
        }
        self.event("request", **facts)

    def of_uvicorn(self) -> logging.Handler:
        """A handler that puts uvicorn's errors into this log."""
        log = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                error = record.exc_info[1] if record.exc_info else None
                facts = {"error": f"{type(error).__name__}: {error}"} if error else {}
                log.event(record.getMessage().strip(), **facts)

        return Handler(logging.ERROR)
