"""Connections that fail in every way, and what a person is told."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import struct
from http.server import ThreadingHTTPServer
from urllib.error import URLError

import pytest

from pplcnet.errors import WeightsError
from pplcnet.weights.connection_failures import describe_failure, describe_status
from pplcnet.weights.downloading import HASTY
from pplcnet.weights.fetching import fetch
from tests.weights.download_server import SOURCE, Handler


def _complaint() -> str:
    """Of one attempt; the words in the message's parentheses."""
    with pytest.raises(WeightsError) as caught:
        fetch(SOURCE, patience=HASTY)
    return str(caught.value).partition("cannot be downloaded (")[2].partition("). Download it")[0]


@pytest.mark.parametrize(
    ("mirror", "complaint"),
    [
        ("http://name.invalid", "the server's name could not be resolved; is this machine online?"),
        ("http://127.0.0.1:9", "the server refused the connection"),
        ("http://127.0.0.1:port", "this is not a valid address"),
        ("http://a b", "this is not a valid address"),
    ],
)
def test_an_address_that_leads_nowhere(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, mirror: str, complaint: str
) -> None:
    monkeypatch.setenv("PPLCNET_MIRROR", mirror)
    assert _complaint() == complaint


def _reset(handler: Handler, turn: int) -> None:
    # Lingering for no time, closing sends a reset.
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


def _cut_chunk(handler: Handler, turn: int) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"100\r\nshort")


@pytest.mark.parametrize(
    ("behave", "complaint"),
    [
        (
            lambda h, turn: h.connection.shutdown(socket.SHUT_RDWR),
            "the server closed the connection",
        ),
        (_reset, "the server closed the connection"),
        (lambda h, turn: h.wfile.write(b"220 ftp\r\n"), "did not respond like a web server"),
        (_cut_chunk, "closed the connection before the file was complete"),
        (lambda h, turn: h.send_error(404), "the server answered 404, not found"),
        (lambda h, turn: h.send_error(503), "the server answered 503, service unavailable"),
    ],
    ids=["hangs up", "resets", "another protocol", "cut chunk", "404", "503"],
)
def test_a_server_that_fails(server: ThreadingHTTPServer, behave, complaint: str) -> None:
    server.behave = behave
    assert complaint in _complaint()


def test_a_server_without_tls_and_a_proxy_that_refuses(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPLCNET_MIRROR", f"https://127.0.0.1:{server.server_port}")
    assert _complaint() == "no secure connection to the server could be made: wrong version number"
    monkeypatch.setenv("PPLCNET_MIRROR", "https://weights.invalid")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.server_port}")
    assert "the proxy did not make the connection; it answered 501" in _complaint()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert _complaint() == "the proxy refused the connection"


def _not_accepted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (URLError(_not_accepted()), "not accepted: self-signed certificate; if your"),
        (URLError(OSError(errno.ENETUNREACH, "?")), "there is no route to the server"),
        (PermissionError(errno.EACCES, "?"), "this machine does not allow the connection"),
        (TimeoutError("timed out"), "the server did not respond in time"),
        (http.client.LineTooLong("header"), "the server did not respond like a web server"),
        (OSError(errno.EMFILE, "Too many open files"), "server failed: Too many open files"),
        (URLError("no host given"), "the connection to the server failed: no host given"),
        (MemoryError(), "the connection to the server failed: MemoryError"),
    ],
    ids=lambda each: type(getattr(each, "reason", each)).__name__,
)
def test_an_error_of_any_kind(error: Exception, words: str) -> None:
    assert words in describe_failure(error)
    assert "Errno" not in describe_failure(error)


def test_an_unknown_status_is_a_number() -> None:
    assert describe_status(599) == "the server answered 599"
