"""Downloading, from a real server that is slow, cuts off, lies, or sends another file."""

from __future__ import annotations

import contextlib
import gzip
import io
import pickle
import socket
import threading
import time
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import WeightsError
from pplcnet.system.cache import cache_folder
from pplcnet.weights import downloading, fetching
from pplcnet.weights.fetching import fetch
from tests.weights.download_server import CONTENT, NEWER, NUMBERS, SOURCE, Handler, state_dict


def test_a_cut_connection_is_resumed_where_it_stopped(server: ThreadingHTTPServer) -> None:
    def cut_twice(handler: Handler, turn: int) -> None:
        if turn == 3:
            handler.send_file(CONTENT)
            return
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        handler.send_head(start, len(CONTENT))
        handler.send_header("Content-Length", str(len(CONTENT) - start))
        handler.end_headers()
        handler.wfile.write(CONTENT[start : start + 150_000])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    server.behave = cut_twice
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT
    starts = [int(given[6:-1]) if given else 0 for _, given in server.asked]
    assert 0 == starts[0] < starts[1] < starts[2]


def _leave_partial(mark: str = '"mark"') -> Path:
    """What a download leaves that was cut off after 5000 bytes."""
    folder = cache_folder() / "weights"
    folder.mkdir(parents=True)
    partial = folder / f".partial-{SOURCE.file_name}"
    partial.write_bytes(CONTENT[:5000])
    partial.with_name(f"{partial.name}.mark").write_text(mark)
    return partial


def test_a_server_that_cannot_resume_sends_everything_again(server: ThreadingHTTPServer) -> None:
    server.can_resume = False
    _leave_partial()
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT


def test_a_slow_server_is_waited_for(server: ThreadingHTTPServer) -> None:
    def slow(handler: Handler, turn: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        for at in range(0, len(CONTENT), 100_000):
            handler.wfile.write(CONTENT[at : at + 100_000])
            handler.wfile.flush()
            time.sleep(0.02)

    server.behave = slow
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT


def test_the_rest_of_a_changed_file_is_not_used(server: ThreadingHTTPServer) -> None:
    def change(handler: Handler, turn: int) -> None:
        content, mark = (CONTENT, '"old"') if turn == 1 else (NEWER, '"new"')
        start = 0
        if handler.headers.get("If-Range") == mark:
            start = int(handler.headers["Range"][6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("ETag", mark)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start : 150_000 if turn == 1 else None])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    server.behave = change
    assert fetch(SOURCE, pause_s=0).read_bytes() == NEWER
    assert server.asked[1][1] is not None


def test_a_part_that_was_not_requested_is_not_used(server: ThreadingHTTPServer) -> None:
    _leave_partial()

    def wrong_part(handler: Handler, turn: int) -> None:
        if turn > 1:
            handler.send_file(CONTENT)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 100-{len(CONTENT) - 1}/{len(CONTENT)}")
        handler.send_header("Content-Length", str(len(CONTENT) - 100))
        handler.end_headers()
        handler.wfile.write(CONTENT[100:])

    server.behave = wrong_part
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT


def _answers(content: bytes, status: int = 200, **headers: str):
    """A handler that sends these headers and nothing else of its own."""

    def behave(handler: Handler, turn: int) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return behave


PACKED = gzip.compress(CONTENT[:1000])


@pytest.mark.parametrize(
    ("behave", "complaint"),
    [
        (_answers(CONTENT[:900_000]), "not a complete weights file"),
        (_answers(b""), "not a complete weights file"),
        (_answers(b"", Content_Length="0"), "not a complete weights file"),
        (_answers(CONTENT, Content_Length="-5"), "invalid length .-5"),
        (_answers(CONTENT, Content_Length="many"), "invalid length .many"),
        (_answers(CONTENT, Content_Length=str(len(CONTENT) + 9)), "the connection ended after"),
        (_answers(CONTENT[:99], Content_Length="99"), "not a complete weights file"),
        (_answers(CONTENT, 206, Content_Range=f"bytes 0-9/{len(CONTENT)}"), "not requested"),
        (_answers(CONTENT, 206), "not requested"),
        (_answers(PACKED, Content_Encoding="gzip"), "compresses the file"),
        (_answers(state_dict(NUMBERS * 2)), "it has 482,000 numbers before the classifier"),
        (_answers(pickle.dumps({"a": np.zeros(NUMBERS)})), "no classifier"),
        (_answers(state_dict(NUMBERS, value=np.nan)), "it holds NaN or infinity"),
        (_answers(b"", 302, Location="/again"), "redirects in a loop"),
        (_answers(b"", 302, Location="file:///etc/passwd"), "the server answered 302|not allowed"),
        (_answers(b"", 302, Location="ftp://example.org/a"), "redirects to ftp://example.org/a"),
    ],
    ids=[
        "cut off without a length", "nothing", "length 0", "negative length", "length in words",
        "too long a length", "cut off with its length", "unrequested part", "part without a range",
        "gzip", "another network", "no network", "no numbers", "redirect loop",
        "redirect to a file", "redirect to ftp",
    ],
)  # fmt: skip
def test_a_response_that_is_not_the_complete_file_is_never_accepted(
    server: ThreadingHTTPServer, behave, complaint: str
) -> None:
    server.behave = behave
    with pytest.raises(WeightsError, match=complaint):
        fetch(SOURCE, pause_s=0)
    target = cache_folder() / "weights" / SOURCE.file_name
    assert not target.exists()
    assert not target.with_name(f"{target.name}.sha256").exists()
    server.behave = lambda handler, turn: handler.send_file(CONTENT)
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT


def test_a_file_without_a_length_is_taken_when_it_is_whole(server: ThreadingHTTPServer) -> None:
    server.behave = _answers(CONTENT)
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT


def test_the_rest_is_not_asked_for_without_a_mark_of_the_version(
    server: ThreadingHTTPServer,
) -> None:
    partial = _leave_partial()
    partial.with_name(f"{partial.name}.mark").unlink()
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT
    assert server.asked[0][1] is None


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_server_that_sends_too_slowly_is_given_up(server: ThreadingHTTPServer, part: str) -> None:
    patience = downloading.HASTY._replace(head_s=0.3, period_s=0.3)
    ended = threading.Event()

    def drip(handler: Handler, turn: int) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if part == "body" else b"X: "))
        with contextlib.suppress(OSError):
            while not ended.wait(0.02):
                handler.wfile.write(b"x")
                handler.wfile.flush()

    server.behave = drip
    try:
        with pytest.raises(WeightsError, match=r"no response within|bytes arrived in 0\.3 seconds"):
            fetch(SOURCE, patience=patience)
    finally:
        ended.set()


def test_an_endless_body_stops_at_the_limit(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SIZE_LIMIT", 1_000_000)

    def endless(handler: Handler, turn: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(bytes(1 << 16))

    server.behave = endless
    with pytest.raises(WeightsError, match="more than 1,000,000 bytes"):
        fetch(SOURCE, pause_s=0)
    assert not list((cache_folder() / "weights").glob(".partial*"))


def test_https_is_not_redirected_to_http() -> None:
    request = urllib.request.Request("https://example.org/w.pdparams")
    answer = io.BytesIO()
    with pytest.raises(downloading.DownloadError, match="redirects from https to http:"):
        downloading.SafeRedirects().redirect_request(
            request, answer, 302, "Found", {}, "http://example.org/w.pdparams"
        )
    assert answer.closed


@pytest.mark.parametrize("address", ["file:///etc", "ftp://example.org", "data:,x"])
def test_other_addresses_than_http_are_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path))
    monkeypatch.setenv("PPLCNET_MIRROR", address)
    monkeypatch.delenv("PPLCNET_OFFLINE")
    with pytest.raises(WeightsError, match="http and https addresses only"):
        fetch(SOURCE, pause_s=0)
