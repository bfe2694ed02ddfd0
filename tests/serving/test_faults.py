"""Workers that die or hang, overload, clients that leave, and the end of a server."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from pplcnet.cli.main import main
from tests.serving.conftest import photo
from tests.serving.servers import PATIENCE, Server, serving


@pytest.fixture(scope="module")
def faulty(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers that obey photos, little patience and a short queue."""
    with serving(
        bundle, "--workers", 2, "--timeout", 1, "--queue", 2, "--drain", 0,
        "--worker-megabytes", 64, faults=tmp_path_factory.mktemp("faults"),
    ) as running:  # fmt: skip
        yield running


def _until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.05)


def _statuses(server: Server, bodies: list[bytes]) -> list[int]:
    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(lambda body: server.post("/v1/classify", body).status, bodies))


def test_a_photo_that_ends_two_workers_is_at_fault(faulty: Server) -> None:
    before = faulty.workers()
    answer = faulty.post("/v1/classify", b"crash")
    assert answer.status == 500
    assert answer.error == "the photo: two workers died on this photo."
    _until(lambda: len(faulty.workers()) == 2 and not set(before) & set(faulty.workers()))
    _until(lambda: faulty.get("/v2/health/ready").status == 200)
    _until(lambda: faulty.post("/v1/classify", photo()).status == 200)


def test_a_photo_that_takes_too_long_loses_its_worker(faulty: Server) -> None:
    before = set(faulty.workers())
    assert faulty.post("/v1/classify", b"sleep60").status == 504
    _until(lambda: len(set(faulty.workers()) - before) == 1)
    _until(lambda: faulty.post("/v1/classify", photo()).status == 200)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_photo_that_takes_too_much_memory_is_refused(faulty: Server) -> None:
    file = io.BytesIO()
    Image.new("RGB", (6000, 6000)).save(file, "PNG", compress_level=1)
    before = faulty.workers()
    answer = faulty.post("/v1/classify", file.getvalue())
    assert answer.status == 422
    assert "memory" in answer.error
    assert faulty.workers() == before


def test_a_full_queue_is_503_with_a_time(faulty: Server) -> None:
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: faulty.post("/v1/classify", b"sleep0.4"), range(12)))
    statuses = [each.status for each in answers]
    assert set(statuses) <= {422, 503, 504}
    assert 422 in statuses
    refused = next(each for each in answers if each.status == 503)
    assert "the queue is full" in refused.error
    assert int(refused.headers["retry-after"]) >= 1
    _until(lambda: faulty.post("/v1/classify", photo()).status == 200)


def test_what_a_client_that_leaves_waited_for_is_dropped(faulty: Server) -> None:
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nsleep0.9"
    connections = []
    for _ in range(4):  # two run, two wait
        connections.append(socket.create_connection((faulty.host, faulty.port)))
        connections[-1].sendall(head)
    _until(lambda: _is_refused(faulty))
    for connection in connections:
        connection.close()
    _until(lambda: not _is_refused(faulty))


def _kill_one(server: Server) -> None:
    """Kill a worker, and wait for the new one."""
    pid = server.workers()[0]
    os.kill(pid, signal.SIGKILL)
    _until(lambda: len(server.workers()) == 2 and pid not in server.workers())


def _is_refused(server: Server) -> bool:
    return server.post("/v1/classify", b"").status == 503


def test_killed_workers_lose_no_request(bundle: Path) -> None:
    statuses: list[int] = []
    stop = threading.Event()
    with serving(bundle, "--workers", 2, "--timeout", 30) as server:

        def ask(number: int) -> None:
            while not stop.is_set():
                statuses.append(server.post("/v1/classify", photo(number)).status)

        with ThreadPoolExecutor(4) as threads:
            running = [threads.submit(ask, number) for number in range(4)]
            for _ in range(3):
                _kill_one(server)
                # What it had in hand is answered before the next one is killed.
                enough = len(statuses) + 12
                _until(lambda enough=enough: len(statuses) >= enough)
            stop.set()
            for each in running:
                each.result()
        assert server.get("/v2/health/ready").status == 200
    assert set(statuses) == {200}


def test_sigterm_answers_what_was_asked_and_exits_with_0(bundle: Path, tmp_path: Path) -> None:
    with serving(
        bundle, "--workers", 1, "--queue", 20, "--timeout", 30, "--drain", 1, faults=tmp_path
    ) as server:
        with ThreadPoolExecutor(6) as threads:
            running = [threads.submit(server.post, "/v1/classify", b"sleep0.3") for _ in range(5)]
            time.sleep(0.3)  # until they have been accepted
            server.process.send_signal(signal.SIGTERM)
            _until(lambda: server.get("/v2/health/ready").status == 503)
            assert server.get("/v2/health/live").status == 200
            late = server.post("/v1/classify", photo())
            assert late.headers["connection"] == "close"
            assert late.status == 200
            assert [each.result().status for each in running] == [422] * 5
        assert server.stop() == 0


def test_a_second_signal_ends_at_once(bundle: Path, tmp_path: Path) -> None:
    with (
        serving(bundle, "--workers", 1, "--timeout", 30, faults=tmp_path) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        asked = threads.submit(server.post, "/v1/classify", b"sleep30")
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        _until(lambda: server.get("/v2/health/ready").status == 503)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
        asked.exception(PATIENCE)  # however the connection ends


def test_workers_end_with_a_server_that_is_killed(bundle: Path) -> None:
    with serving(bundle, "--workers", 2) as server:
        pids = server.workers()
        server.stop(signal.SIGKILL)
        _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.bundle"], "nothing.bundle: no such bundle"),
        (["BUNDLE", "--host", "0.0.0.0"], "give --api-key-file, or --no-auth"),
        (["BUNDLE", "--tls-key", "x.pem"], "--tls-certificate and --tls-key need each other"),
        (["BUNDLE", "--port", "TAKEN"], "choose one with --port"),
        (["BUNDLE", "a=BUNDLE", "a=BUNDLE"], "two bundles are called 'a'"),
        (["DAMAGED"], "The bundle is damaged"),
        (["BUNDLE", "--engine", "paddle"], "cannot run as paddle"),
        (["BUNDLE", "--queue", "0"], "must be a whole number from 1"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    arguments: list[str],
    message: str,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged = tmp_path / "damaged.bundle"
    damaged.mkdir()
    for each in bundle.iterdir():
        (damaged / each.name).write_bytes(each.read_bytes())
    network = damaged / "model.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"?")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        places = {
            "BUNDLE": str(bundle),
            "DAMAGED": str(damaged),
            "TAKEN": str(taken.getsockname()[1]),
        }
        given = [_replaced(each, places) for each in arguments]
        if "--port" not in given:
            given += ["--port", "0"]
        try:
            code = main(["serve", *given])
        except SystemExit as exit_:
            code = exit_.code
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def _replaced(text: str, places: dict[str, str]) -> str:
    for name, place in places.items():
        text = text.replace(name, place)
    return text
