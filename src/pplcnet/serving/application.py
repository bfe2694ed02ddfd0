"""The ASGI application: checks access, finds the endpoint, counts and logs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pplcnet.serving.access import Access
from pplcnet.serving.endpoints import Route
from pplcnet.serving.http_messages import Bodies, ClientGone, Receive, Reply, Request, refused
from pplcnet.serving.logs import Log
from pplcnet.serving.metrics import Metrics
from pplcnet.serving.openapi import query_options
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.tracing import Tracing

__all__ = ["Application"]

Send = Callable[[Any], Awaitable[None]]

REFUSAL_DELAY = 0.1
"""Seconds before a 503: slows down clients that retry at once, at no cost."""
# How long to go on reading from a refused client; if cut off, it would not see the reason.
LINGER_SECONDS, LINGER_BYTES = 1.0, 32 << 20
GONE = 499
"""Status in logs and metrics: the client went away, or was too slow."""


class Application:
    """The ASGI application of one server."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        access: Access,
        bodies: Bodies,
        metrics: Metrics,
        log: Log,
    ) -> None:
        """All arguments must belong to the same server."""
        self._routes = [(route, route.form, query_options(route)) for route in routes]
        self._access, self._bodies = access, bodies
        self._metrics, self._log, self._tracing = metrics, log, Tracing()
        self.is_closing = False
        """Whether every reply closes its connection."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        started = time.monotonic()
        connection = scope.get("state", {}).get("connection")
        if connection is not None:
            connection.on_gone = request.caller.leave
        status = GONE
        try:
            reply = await self._answer(request)
            status = reply.status
            await self._send(request, reply, send)
        except (ClientGone, asyncio.CancelledError):
            if not request.caller.is_gone:
                raise
        finally:
            self._bodies.release(request)
            taken = time.monotonic() - started
            served = request.caller.served
            name, version = (served.name, served.version) if served is not None else ("", "")
            self._metrics.count_request(name, version, status, taken)
            self._log.access(request, status, taken)
            self._tracing.record(request, status, taken)

    async def _answer(self, request: Request) -> Reply:
        is_open = False
        try:
            self._access.check_origin(request)
            if request.method == "OPTIONS":
                return Reply(b"", status=204)
            route, names, options = self._find(request)
            is_open = route.is_open
            if not is_open:
                self._access.check_key(request.headers.get(b"authorization", ""))
            if request.query and options is not None:
                request.check_options(options)
            return await route.handler(request, names)
        except Refusal as refusal:
            if refusal.status == 503 and not is_open:
                self._metrics.refused[refusal.cause or "other"] += 1
                await asyncio.sleep(REFUSAL_DELAY)
            return refused(refusal)

    def _find(self, request: Request) -> tuple[Route, dict[str, str], list[str] | None]:
        method = "GET" if request.method == "HEAD" else request.method
        others = []
        for route, form, options in self._routes:
            found = form.fullmatch(request.path)
            if found and route.method == method:
                return route, found.groupdict(), options
            if found:
                others.append(route.method)
        if others:
            raise Refusal(405, f"this path takes {' and '.join(others)}, not {request.method}.")
        raise Refusal(404, "no such path; GET /openapi.json lists the existing ones.")

    async def _send(self, request: Request, reply: Reply, send: Send) -> None:
        headers = [
            (b"content-type", reply.kind.encode()),
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-request-id", request.id.encode()),
            *reply.headers,
            *self._access.headers_for(request),
        ]
        is_cut_off = reply.status == 413 and not request.is_read
        if self.is_closing or is_cut_off:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": is_cut_off})
        if is_cut_off:
            await _listen(request.receive)
            await send({"type": "http.response.body", "body": b""})


async def _listen(receive: Receive) -> None:
    """Read and drop what a refused client still sends, for a short time."""
    seen = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while seen < LINGER_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    return
                seen += len(message["body"])
    except TimeoutError:
        return
