"""Official weights are downloaded once, checked, and a failure says what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from hashlib import sha256
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from pplcnet.errors import WeightsError
from pplcnet.system.cache import cache_folder
from pplcnet.weights.fetching import fetch
from tests.weights.download_server import CONTENT, SOURCE, Handler


def test_a_file_is_downloaded_once(server: ThreadingHTTPServer) -> None:
    path = fetch(SOURCE)
    assert path.read_bytes() == CONTENT
    assert fetch(SOURCE) == path
    assert server.asked == [("/files/PPLCNet_x0_25_pretrained.pdparams", None)]


@pytest.mark.parametrize(
    ("behave", "complaint", "asked"),
    [
        (lambda h, turn: h.send_error(404), "the server answered 404", 1),
        (lambda h, turn: h.send_error(503), "the server answered 503", 4),
        (lambda h, turn: h.send_file(b"<html>", kind="text/html"), "a web page instead", 4),
        (lambda h, turn: h.send_file(b"", length=1 << 40), "at most 1,073,741,824", 1),
        (lambda h, turn: h.connection.close(), "the server closed the connection", 4),
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
    assert f"save it as {cache_folder() / 'weights' / SOURCE.file_name}" in message
    assert len(server.asked) == asked
    assert not (cache_folder() / "weights" / SOURCE.file_name).exists()


def test_no_connection_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path))
    monkeypatch.setenv("PPLCNET_MIRROR", "http://127.0.0.1:9")
    monkeypatch.delenv("PPLCNET_OFFLINE")
    with pytest.raises(WeightsError, match=r"cannot be downloaded .*save it as .*PPLCNET_MIRROR"):
        fetch(SOURCE, pause_s=0)


def test_offline_nothing_is_asked_for_and_the_cache_is_used(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPLCNET_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"PPLCNET_OFFLINE is set\)\. .* save it as"):
        fetch(SOURCE)
    assert server.asked == []
    monkeypatch.setenv("PPLCNET_OFFLINE", "0")
    path = fetch(SOURCE)
    monkeypatch.setenv("PPLCNET_OFFLINE", "1")
    assert fetch(SOURCE) == path


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
    def slow(handler: Handler, turn: int) -> None:
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


def test_a_busy_server_is_retried(server: ThreadingHTTPServer) -> None:
    server.behave = lambda handler, turn: (
        handler.send_error(429) if turn < 3 else handler.send_file(CONTENT)
    )
    assert fetch(SOURCE, pause_s=0).read_bytes() == CONTENT
    assert len(server.asked) == 3


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
