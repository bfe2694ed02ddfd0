"""One HTTP request with a deadline for every step and a checked response.

The standard library makes the request in a separate thread: a server that sends a byte now and
then blocks that thread, but not the download, which stops waiting at its deadline.
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
from pplcnet.weights.connection_failures import describe_failure

__all__ = [
    "HASTY",
    "PATIENT",
    "DownloadError",
    "Patience",
    "Response",
    "SafeRedirects",
    "ask",
    "content_length",
    "goes_to_proxy",
]

# This many bytes per second must arrive in every period, and a file must be complete in an hour.
BYTES_PER_S = 2000
BODY_DEADLINE_S = 3600.0
CHUNK = 1 << 16


class Patience(NamedTuple):
    """How long a download waits, in seconds, and the number of attempts."""

    socket_s: float
    """For one socket operation: connecting, or receiving more bytes."""
    head_s: float
    """For the head of the response, including name lookup and connecting."""
    period_s: float
    """The period over which the speed is measured."""
    attempts: int
    lock_s: float
    """For another process that downloads the same file."""


PATIENT = Patience(socket_s=20, head_s=60, period_s=30, attempts=4, lock_s=4000)
"""For a file that is required."""
HASTY = Patience(socket_s=10, head_s=5, period_s=10, attempts=1, lock_s=600)
"""For a file that has a fallback."""


class DownloadError(Exception):
    """Why a request failed; retrying may help unless it is `final`."""

    def __init__(self, problem: str, *, final: bool = False) -> None:
        self.final = final
        super().__init__(problem)


class Response(NamedTuple):
    """The head of a response, and its body as it arrives."""

    status: int
    headers: Message
    chunks: Iterator[bytes]
    """Raises DownloadError if the server stops or is too slow, or the connection ends early."""


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects (at most ten), but never from https to http or to another scheme."""

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
    """Sends the request, and puts the response's head, chunks and end into a queue."""

    def __init__(self, address: str, headers: dict[str, str], timeout: float) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.timeout = timeout
        self.headers = headers
        self.events: queue.Queue[Any] = queue.Queue(maxsize=16)
        self.stopped = threading.Event()

    def run(self) -> None:
        try:
            request = urllib.request.Request(self.address, headers=self.headers)  # noqa: S310 - ask() has checked the scheme
            opener = urllib.request.build_opener(SafeRedirects)
            try:
                response = opener.open(request, timeout=self.timeout)
            except urllib.error.HTTPError as error:
                self._put((error.code, error.headers, str(error.reason)))
                error.close()
                return
            with response:
                self._put((response.status, response.headers, ""))
                while not self.stopped.is_set():
                    chunk = response.read1(CHUNK)
                    self._put(chunk)
                    if not chunk:
                        return
        except Exception as error:  # noqa: BLE001 - the thread that waits must see every error
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
            has_proxy = goes_to_proxy(self.address)
            raise DownloadError(describe_failure(event, has_proxy=has_proxy)) from event
        return event


def goes_to_proxy(address: str) -> bool:
    """Whether urllib uses a proxy for this address, by environment or system settings."""
    scheme, _, rest = address.partition("://")
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(
        rest.partition("/")[0]
    )


def ask(address: str, headers: dict[str, str], patience: Patience = PATIENT) -> Response:
    """Send a GET request and wait for the head of the response.

    Raises:
        WeightsError: an address that is neither http nor https.
        DownloadError: no response, or none in time.
    """
    if not address.startswith(("http://", "https://")):
        raise WeightsError(f"{address}: weights are downloaded from http and https addresses only.")
    request = _Request(address, headers, patience.socket_s)
    request.start()
    try:
        status, head, reason = request.next(patience.head_s)
    except TimeoutError:
        request.stopped.set()
        raise DownloadError(f"no response within {patience.head_s:g} seconds") from None
    if "redirect" in reason:  # urllib's message for a loop
        raise DownloadError("the server redirects in a loop", final=True)
    return Response(status, head, _chunks(request, patience.period_s))


def _chunks(request: _Request, period_s: float) -> Iterator[bytes]:
    started = period = time.monotonic()
    received = 0
    try:
        while True:
            try:
                chunk = request.next(period + period_s - time.monotonic())
            except TimeoutError:
                chunk = None
            now = time.monotonic()
            if now - started > BODY_DEADLINE_S:
                raise DownloadError(f"it took more than {BODY_DEADLINE_S:g} seconds", final=True)
            received += len(chunk or b"")
            if chunk == b"":
                return
            if now - period >= period_s:
                if received < BYTES_PER_S * period_s:
                    raise DownloadError(f"only {received:,} bytes arrived in {period_s:g} seconds")
                period, received = now, 0
            if chunk:
                yield chunk
    finally:
        request.stopped.set()


def content_length(headers: Message) -> int | None:
    """The declared length, None if there is none; DownloadError if it is invalid."""
    given = headers.get_all("Content-Length") or []
    if not given:
        return None
    if len(set(given)) > 1 or not (given[0].isascii() and given[0].isdigit()) or len(given[0]) > 18:
        raise DownloadError(f"the server sent an invalid length ({', '.join(given)[:40]})")
    return int(given[0])
