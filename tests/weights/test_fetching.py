"""Downloading, against a real server that is slow, cuts off, lies, or sends another file."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import InputError, UnknownNameError, WeightsError
from pplcnet.models.catalog import CATALOG
from pplcnet.system.cache import cache_folder
from pplcnet.weights import downloading, fetching
from pplcnet.weights.fetching import fetch, weights_path
from pplcnet.weights.sources import Source, find_source, sources_of


def _state_dict(numbers: int, seed: int = 0) -> bytes:
    """A `.pdparams` file of `numbers` before a classifier of two classes."""
    backbone = np.random.default_rng(seed).standard_normal(numbers).astype(np.float32)
    head = {"fc.weight": np.zeros((1280, 2), np.float32), "fc.bias": np.zeros(2, np.float32)}
    return pickle.dumps({"conv1.conv.weight": backbone, **head}, protocol=4)


# As many numbers as pplcnet_x0_25 has before its classifier.
NUMBERS = 241_000
CONTENT, NEWER = _state_dict(NUMBERS), _state_dict(NUMBERS, seed=1)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        self.server.behave(self, len(self.server.asked))

    def log_message(self, *_: object) -> None:
        pass

    def send_head(self, start: int, size: int) -> None:
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"mark"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")

    def send_file(self, content: bytes, *, length: int | None = None, kind: str = "") -> None:
        start = 0
        given = self.headers.get("Range")
        if given and self.server.can_resume:
            start = int(given.removeprefix("bytes=").rstrip("-"))
        self.send_head(start, len(content))
        self.send_header("Content-Length", str(len(content) - start if length is None else length))
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.end_headers()
        self.wfile.write(content[start:])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked, server.can_resume = [], True
    server.behave = lambda handler, turn: handler.send_file(CONTENT)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PPLCNET_MIRROR", f"http://127.0.0.1:{server.server_port}/files/")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


SOURCE = find_source("pplcnet_x0_25", "imagenet")


def test_a_file_is_downloaded_once(server: ThreadingHTTPServer) -> None:
    path = fetch(SOURCE)
    assert path.read_bytes() == CONTENT
    assert fetch(SOURCE) == path
    assert server.asked == [("/files/PPLCNet_x0_25_pretrained.pdparams", None)]


def test_a_cut_connection_is_resumed_where_it_stopped(server: ThreadingHTTPServer) -> None:
    def cut_twice(handler: _Handler, turn: int) -> None:
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
    def slow(handler: _Handler, turn: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        for at in range(0, len(CONTENT), 100_000):
            handler.wfile.write(CONTENT[at : at + 100_000])
            handler.wfile.flush()
            time.sleep(0.02)

    server.behave = slow
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("behave", "complaint", "asked"),
    [
        (lambda h, turn: h.send_error(404), "the server answered 404", 1),
        (lambda h, turn: h.send_error(503), "the server answered 503", 4),
        (lambda h, turn: h.send_file(b"<html>", kind="text/html"), "a web page instead", 4),
        (lambda h, turn: h.send_file(b"", length=1 << 40), "at most 1,073,741,824", 1),
        (lambda h, turn: h.connection.close(), "RemoteDisconnected|Connection", 4),
    ],
    ids=["404", "503", "error page", "absurd length", "hangs up"],
)
def test_a_server_that_does_not_give_the_file(
    server: ThreadingHTTPServer, behave, complaint: str, asked: int
) -> None:
    server.behave = behave
    with pytest.raises(WeightsError, match=complaint) as caught:
        fetch(SOURCE, pause_s=0)
    message = str(caught.value)
    assert "PPLCNet_x0_25_pretrained.pdparams" in message
    assert f"put it at {cache_folder() / 'weights' / SOURCE.file_name}" in message
    assert len(server.asked) == asked
    assert not (cache_folder() / "weights" / SOURCE.file_name).exists()


def test_a_truncated_file_is_never_accepted(server: ThreadingHTTPServer) -> None:
    server.behave = lambda handler, turn: handler.send_file(CONTENT[:9], length=len(CONTENT))
    with pytest.raises(WeightsError):
        fetch(SOURCE, pause_s=0)
    assert not (cache_folder() / "weights" / SOURCE.file_name).exists()


def test_no_connection_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path))
    monkeypatch.setenv("PPLCNET_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"cannot be downloaded .*put it at .*PPLCNET_MIRROR"):
        fetch(SOURCE, pause_s=0)


def test_a_known_checksum_is_compared(server: ThreadingHTTPServer) -> None:
    right = SOURCE._replace(sha256=sha256(CONTENT).hexdigest())
    assert fetch(right).is_file()
    with pytest.raises(WeightsError, match="is not the expected file"):
        fetch(SOURCE._replace(sha256="0" * 64))


def test_an_unknown_checksum_is_recorded_and_compared_from_then_on(
    server: ThreadingHTTPServer,
) -> None:
    path = fetch(SOURCE)
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(WeightsError, match="delete it to download it again"):
        fetch(SOURCE)


def test_two_processes_at_once_download_once(server: ThreadingHTTPServer) -> None:
    def slow(handler: _Handler, turn: int) -> None:
        time.sleep(0.3)
        handler.send_file(CONTENT)

    server.behave = slow
    code = (
        "from pplcnet.weights.fetching import fetch\n"
        "from pplcnet.weights.sources import find_source\n"
        "print(fetch(find_source('pplcnet_x0_25', 'imagenet')))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(server.asked) == 1
    assert Path(paths.pop()).read_bytes() == CONTENT
    assert not paths


def test_every_network_has_a_source_of_its_own() -> None:
    sources = [source for name in CATALOG for source in sources_of(name).values()]
    assert len({source.file_name for source in sources}) == len(sources)
    assert len({source.address for source in sources}) == len(sources)
    assert all(isinstance(source, Source) and source.licence for source in sources)
    assert len(sources_of("pplcnet_x1_0")) == 3


def test_unknown_kinds_of_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean imagenet"):
        find_source("pplcnet_x1_0", "imagnet")
    with pytest.raises(WeightsError, match="there are imagenet"):
        find_source("ghostnet_x0_5", "timm")
    with pytest.raises(WeightsError, match="not one of imagenet"):
        weights_path("pplcnet_x1_0", tmp_path / "absent.npz")


def test_the_rest_of_a_changed_file_is_not_used(server: ThreadingHTTPServer) -> None:
    def change(handler: _Handler, turn: int) -> None:
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

    def wrong_part(handler: _Handler, turn: int) -> None:
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


def test_a_busy_server_is_retried(server: ThreadingHTTPServer) -> None:
    server.behave = lambda handler, turn: (
        handler.send_error(429) if turn < 3 else handler.send_file(CONTENT)
    )
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT
    assert len(server.asked) == 3


def _answers(content: bytes, status: int = 200, **headers: str):
    """A handler that sends these headers and nothing else of its own."""

    def behave(handler: _Handler, turn: int) -> None:
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
        (_answers(_state_dict(NUMBERS * 2)), "it has 482,000 numbers before the classifier"),
        (_answers(pickle.dumps({"a": np.zeros(NUMBERS)})), "no classifier"),
        (_answers(b"", 302, Location="/again"), "redirects in a loop"),
        (_answers(b"", 302, Location="file:///etc/passwd"), "the server answered 302|not allowed"),
        (_answers(b"", 302, Location="ftp://example.org/a"), "redirects to ftp://example.org/a"),
    ],
    ids=[
        "cut off without a length", "nothing", "length 0", "negative length", "length in words",
        "too long a length", "cut off with its length", "unrequested part", "part without a range",
        "gzip", "another network", "no network", "redirect loop", "redirect to a file",
        "redirect to ftp",
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
def test_a_server_that_sends_too_slowly_is_given_up(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(downloading, "HEAD_DEADLINE_S", 0.3)
    monkeypatch.setattr(downloading, "PERIOD_S", 0.3)
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    ended = threading.Event()

    def drip(handler: _Handler, turn: int) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if part == "body" else b"X: "))
        with contextlib.suppress(OSError):
            while not ended.wait(0.02):
                handler.wfile.write(b"x")
                handler.wfile.flush()

    server.behave = drip
    try:
        with pytest.raises(WeightsError, match=r"no response within|bytes arrived in 0\.3 seconds"):
            fetch(SOURCE, pause_s=0)
    finally:
        ended.set()


def test_an_endless_body_stops_at_the_limit(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SIZE_LIMIT", 1_000_000)

    def endless(handler: _Handler, turn: int) -> None:
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
    with pytest.raises(WeightsError, match="http and https addresses only"):
        fetch(SOURCE, pause_s=0)


def test_a_wrong_file_put_there_by_hand_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path))
    target = tmp_path / "weights" / SOURCE.file_name
    target.parent.mkdir()
    target.write_bytes(b"<html>")
    with pytest.raises(WeightsError, match=r"not a complete weights file.*; delete it"):
        fetch(SOURCE)
    target.write_bytes(CONTENT)
    assert fetch(SOURCE) == target


def test_downloading_needs_no_optional_library(server: ThreadingHTTPServer) -> None:
    code = (
        "import sys\n"
        "for name in ('requests', 'keras', 'h5py', 'safetensors'): sys.modules[name] = None\n"
        "from pplcnet.weights.fetching import fetch\n"
        "from pplcnet.weights.sources import find_source\n"
        "print(fetch(find_source('pplcnet_x0_25', 'imagenet')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are POSIX'")
@pytest.mark.parametrize("kind", ["link", "file", "writable by others"])
def test_a_temporary_cache_that_others_could_fill_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.delenv("PPLCNET_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(_no_home))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"pplcnet-{os.getuid()}"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(InputError, match="name a folder of your own in PPLCNET_CACHE"):
        cache_folder()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "pplcnet-12345").mkdir()
    with pytest.raises(InputError, match="belongs to another user"):
        cache_folder()


def _no_home(_: type) -> Path:
    raise RuntimeError("no home")
