"""HTTP requests and replies, and the memory limit for bodies."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from pplcnet.errors import printable
from pplcnet.serving.caller import Caller
from pplcnet.serving.http_tensors import json_body
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.settings import Settings
from pplcnet.system.wording import listed

__all__ = [
    "JSON", "REQUEST_ID", "Bodies", "ClientGone", "Receive", "Reply", "Request", "json_reply",
    "refused",
]  # fmt: skip

Receive = Callable[[], Awaitable[Any]]

JSON = "application/json"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
MOST_FIELDS = 20


class ClientGone(Exception):  # noqa: N818 - what happened
    """The client is no longer waiting for the answer."""


class Request:
    """A request; its body is read on demand."""

    __slots__ = ("caller", "headers", "held", "id", "is_read", "method", "path", "query",
                 "receive", "received")  # fmt: skip

    def __init__(self, scope: dict[str, Any], receive: Receive) -> None:
        """Wrap a request as ASGI passes it."""
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        given = self.headers.get(b"x-request-id", "")
        self.id = given if REQUEST_ID.fullmatch(given) else os.urandom(8).hex()
        client = scope.get("client")
        self.caller = Caller(client=client[0] if client else "")
        self.is_read = self.method in ("GET", "HEAD", "OPTIONS")
        """Whether the body has been read completely."""
        self.held = 0
        """Bytes of the body held in memory."""
        self.received = 0
        """Bytes of the body received."""

    def option(self, name: str) -> str | None:
        """A value from the query; None if it is absent."""
        return dict(self._options()).get(name) if self.query else None

    def check_options(self, known: Sequence[str]) -> None:
        """Refuse a query with any other option, or with one of these given twice."""
        names = [name for name, _ in self._options()]
        allowed = f"this endpoint takes {listed(known)}."
        for name in names:
            if name not in known:
                raise Refusal(400, f"unknown option {printable(name)!r} in the query; {allowed}")
            if names.count(name) > 1:
                raise Refusal(400, f"the option {name!r} is in the query twice; give it once.")

    def _options(self) -> list[tuple[str, str]]:
        try:
            return parse_qsl(
                self.query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS
            )
        except ValueError:
            raise Refusal(400, f"the query has more than {MOST_FIELDS} fields.") from None


class Reply(NamedTuple):
    """A response."""

    body: bytes
    kind: str = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_reply(value: Any, status: int = 200) -> Reply:
    """A JSON response."""
    return Reply(json_body(value), status=status)


def refused(refusal: Refusal) -> Reply:
    """An error in the form that every endpoint uses: {"error": "..."}."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if refusal.retry_after is not None:
        headers = ((b"retry-after", b"%d" % refusal.retry_after),)
    if refusal.status == 401:
        headers = ((b"www-authenticate", b"Bearer"),)
    return Reply(json_body({"error": refusal.summary}), status=refusal.status, headers=headers)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"a request may have at most {limit / (1 << 20):g} MB.")


class Bodies:
    """Reads bodies, with a limit on their total size in memory."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is held yet."""
        self._settings = settings
        self.held_bytes = 0
        """Of all requests being received or answered."""

    async def read(self, request: Request) -> bytearray:
        """Read the whole body of a request and hold it until `release`.

        Raises:
            Refusal: 413 too large, 415 compressed, 503 not enough memory now.
            ClientGone: the client has gone away, or was too slow.
        """
        limit = self._settings.max_request_bytes
        encoding = request.headers.get(b"content-encoding", "identity").strip()
        if encoding.lower() != "identity":
            raise Refusal(415, f"the body is compressed ({encoding[:40]}); send it uncompressed.")
        length = request.headers.get(b"content-length", "0")
        if len(length) > 18 or int(length) > limit:
            raise _too_large(limit)
        body = bytearray()
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message["body"]
            body += part
            self.held_bytes += len(part)
            request.held += len(part)
            request.received += len(part)
            if len(body) > limit:
                raise _too_large(limit)
            if not message["more_body"]:
                break
            if self.held_bytes > self._settings.queue_bytes:
                raise _memory_full()
        request.is_read = True
        request.caller.received_at = time.monotonic()
        return body

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Within the context, the bytes of a request that was read elsewhere count as held.

        Raises:
            Refusal: 503 not enough memory now.
        """
        if self.held_bytes + count > self._settings.queue_bytes:
            raise _memory_full()
        self.held_bytes += count
        try:
            yield
        finally:
            self.held_bytes -= count

    def release(self, request: Request) -> None:
        """Free the bytes of a request that has been answered."""
        self.held_bytes -= request.held
        request.held = 0


def _memory_full() -> Refusal:
    return Refusal(
        503,
        "the memory for waiting requests is full; try again later.",
        retry_after=1,
        cause="memory",
    )
