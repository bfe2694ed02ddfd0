"""One HTTP request whose every step has a deadline, and whose answer is what was asked for.

The standard library does the talking, in a thread of its own: a server that sends a byte now and
then holds that thread up, not the download, which waits for it only so long.
"""

from __future__ import annotations

import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import Any, NamedTuple

from pplcnet.errors import WeightsError

__all__ = ["Answer", "DownloadError", "ask", "content_length"]

CONNECT_TIMEOUT_S = 20.0
HEAD_DEADLINE_S = 60.0
# After each such period as many bytes must have come, and a file must be complete in an hour.
PERIOD_S = 30.0
BYTES_A_PERIOD = 60_000
BODY_DEADLINE_S = 3600.0
CHUNK = 1 << 16


class DownloadError(Exception):
    """Why a request failed; asking again helps unless it is `final`."""

    def __init__(self, problem: str, *, final: bool = False) -> None:
        self.final = final
        super().__init__(problem)


class Answer(NamedTuple):
    """The head of an answer, and its body as it comes."""

    status: int
    headers: Message
    chunks: Iterator[bytes]
    """Raises DownloadError when the server stops, is too slow, or the connection ends early."""


class _SameSafety(urllib.request.HTTPRedirectHandler):
    """Follows redirects (ten at most), but never from https to http, nor to anything else."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str
    ) -> Any:
        problem = ""
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            problem = f"the server redirects from https to {newurl}"
        elif not newurl.startswith(("http:", "https:")):
            problem = f"the server redirects to {newurl}"
        if problem:
            fp.close()
            raise DownloadError(problem, final=True)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Request(threading.Thread):
    """Asks, and puts the answer's head, chunks and end into a queue."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.headers = headers
        self.events: queue.Queue[Any] = queue.Queue(maxsize=16)
        self.stopped = threading.Event()

    def run(self) -> None:
        try:
            request = urllib.request.Request(self.address, headers=self.headers)  # noqa: S310 - ask() has checked the scheme
            opener = urllib.request.build_opener(_SameSafety)
            try:
                answer = opener.open(request, timeout=CONNECT_TIMEOUT_S)
            except urllib.error.HTTPError as error:
                self._put((error.code, error.headers, str(error.reason)))
                error.close()
                return
            with answer:
                self._put((answer.status, answer.headers, ""))
                while not self.stopped.is_set():
                    chunk = answer.read1(CHUNK)
                    self._put(chunk)
                    if not chunk:
                        return
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits has to hear of it
            self._put(error)

    def _put(self, event: Any) -> None:
        while not self.stopped.is_set():
            try:
                self.events.put(event, timeout=1)
            except queue.Full:
                continue
            return

    def next(self, timeout: float) -> Any:
        """The next event; raises DownloadError for an error, TimeoutError when none comes."""
        try:
            event = self.events.get(timeout=max(timeout, 0.001))
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(event, DownloadError):
            raise event
        if isinstance(event, Exception):
            raise DownloadError(_said(event)) from event
        return event


def _said(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, Exception) else error
    return f"{type(inner).__name__}: {inner}"


def ask(address: str, headers: dict[str, str]) -> Answer:
    """Send a GET request and wait for the head of the answer.

    Raises:
        WeightsError: an address that is neither http nor https.
        DownloadError: no answer, or not in time.
    """
    if not address.startswith(("http://", "https://")):
        raise WeightsError(f"{address}: weights are downloaded from http and https addresses only.")
    request = _Request(address, headers)
    request.start()
    try:
        status, head, reason = request.next(HEAD_DEADLINE_S)
    except TimeoutError:
        request.stopped.set()
        raise DownloadError(f"no answer within {HEAD_DEADLINE_S:g} seconds") from None
    if "redirect" in reason:  # urllib's words for a loop
        raise DownloadError("the server redirects in a circle", final=True)
    return Answer(status, head, _chunks(request))


def _chunks(request: _Request) -> Iterator[bytes]:
    started = period = time.monotonic()
    come = 0
    try:
        while True:
            try:
                chunk = request.next(period + PERIOD_S - time.monotonic())
            except TimeoutError:
                chunk = None
            now = time.monotonic()
            if now - started > BODY_DEADLINE_S:
                raise DownloadError(f"it took more than {BODY_DEADLINE_S:g} seconds", final=True)
            come += len(chunk or b"")
            if chunk == b"":
                return
            if now - period >= PERIOD_S:
                if come < BYTES_A_PERIOD:
                    raise DownloadError(f"only {come:,} bytes came in {PERIOD_S:g} seconds")
                period, come = now, 0
            if chunk:
                yield chunk
    finally:
        request.stopped.set()


def content_length(headers: Message) -> int | None:
    """The declared length, None where there is none; DownloadError for one that is no length."""
    given = headers.get_all("Content-Length") or []
    if not given:
        return None
    if len(set(given)) > 1 or not (given[0].isascii() and given[0].isdigit()) or len(given[0]) > 18:
        raise DownloadError(f"the server says a length of {', '.join(given)[:40]}")
    return int(given[0])
