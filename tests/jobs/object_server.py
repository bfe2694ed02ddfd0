"""A real S3 server (moto's), a proxy before it that fails as networks do, and Azure's emulator."""

from __future__ import annotations

import base64
import email.utils
import hmac
import http.client
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SERVER = Path(__file__).resolve().parents[2] / ".venv-storage" / "bin" / "moto_server"
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
    "Signature=none"
)
START_SECONDS = 120.0


@contextmanager
def s3_server() -> Iterator[int]:
    """moto's server on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [SERVER, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(port)
            yield port
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.05)


AZURITE = shutil.which("azurite-blob")
AZURE_PORT = 10000
"""Where clients look for the emulator."""
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Of the emulator; it is the same everywhere and known to all."""


@contextmanager
def azure_server(folder: Path) -> Iterator[None]:
    """Azure's emulator with an empty container, photos."""
    assert AZURITE is not None
    with subprocess.Popen(
        [AZURITE, "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(AZURE_PORT)
            date, account = email.utils.formatdate(usegmt=True), "devstoreaccount1"
            signed = (
                "PUT" + 12 * "\n" + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
                f"/{account}/{account}/photos\nrestype:container"
            )
            digest = hmac.digest(base64.b64decode(AZURE_KEY), signed.encode(), "sha256")
            signature = base64.b64encode(digest).decode()
            connection = http.client.HTTPConnection("127.0.0.1", AZURE_PORT, timeout=60)
            headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0"}
            headers["Authorization"] = f"SharedKey {account}:{signature}"
            connection.request("PUT", f"/{account}/photos?restype=container", headers=headers)
            assert connection.getresponse().status == 201
            connection.close()
            yield
        finally:
            process.kill()


class Faults:
    """How often the proxy does what; shares of all requests."""

    def __init__(self) -> None:
        self.refused = self.cut = self.delayed = 0.0
        self.denied = ""
        """A part of the path of requests that are answered 403."""
        self.requests = self.faulty = 0
        self.lock = threading.Lock()
        self.random = random.Random(0)

    def choose(self, path: str) -> str:
        """What is done with a request."""
        with self.lock:
            self.requests += 1
            if self.denied and self.denied in path:
                return "deny"
            number = self.random.random()
            for share, what in (
                (self.refused, "refuse"), (self.cut, "cut"), (self.delayed, "delay"),
            ):  # fmt: skip
                if number < share:
                    self.faulty += 1
                    return what
                number -= share
        return ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.faults.choose(self.path)
        if fault in ("refuse", "deny"):
            self._answer(503 if fault == "refuse" else 403, [], b"<Error/>")
            return
        if fault == "delay":
            time.sleep(0.2)
        server = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        headers = dict(self.headers)
        if "aws4" not in headers.get("authorization", "").lower():  # moto asks who it is, not more
            headers["authorization"] = AUTHORIZATION
        server.request(self.command, self.path, body, headers)
        reply = server.getresponse()
        content = reply.read()
        server.close()
        skipped = ("transfer-encoding", "connection", "content-length", "date", "server")
        headers = [pair for pair in reply.getheaders() if pair[0].lower() not in skipped]
        length = reply.getheader("Content-Length") if self.command == "HEAD" else None
        if fault == "cut" and len(content) > 1:
            self._answer(reply.status, headers, content[: len(content) // 2], len(content))
            self.close_connection = True
            return
        self._answer(reply.status, headers, content, int(length or len(content)))

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward  # noqa: N815


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.faults = Faults()

    def handle_error(self, *_: object) -> None:
        """A client that went away is none."""


@contextmanager
def faulty_proxy(port: int) -> Iterator[tuple[int, Faults]]:
    """A proxy to a server on `port`: its own port, and what it does wrong (nothing, at first)."""
    server = _Proxy(port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], server.faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
