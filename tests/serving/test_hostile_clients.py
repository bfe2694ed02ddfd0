"""Clients that are slow, endless, malformed or gone: refused, while others are answered."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.serving.conftest import photo
from tests.serving.servers import PATIENCE, Answer, Server, serving

CHUNKED = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _still_answers(server: Server) -> Iterator[None]:
    """Whatever a client did, the next one is answered, and little memory was taken."""
    before = server.resident_bytes()
    yield
    assert server.post("/v1/classify", photo()).status == 200
    assert server.resident_bytes() - before < 50e6


@contextlib.contextmanager
def _connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
        yield connection


def _read(connection: socket.socket) -> Answer:
    """The one answer of a connection that the server closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(status.split()[1]), headers, body)


def _send(connection: socket.socket, *parts: bytes) -> None:
    """As much as the server takes."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for part in parts:
            connection.sendall(part)


def test_a_request_that_does_not_come_to_its_end_is_given_up(server: Server) -> None:
    starts = {
        "silence": b"",
        "line breaks": b"\r\n\r\n",
        "slow headers": b"GET /v2 HTTP/1.1\r\nHost: local",
        "slow body": b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 1000\r\n\r\nabc",
        "slow chunks": CHUNKED + b"3\r\nabc\r\n",
    }
    with contextlib.ExitStack() as stack:
        waiting = {}
        for name, start in starts.items():
            waiting[name] = stack.enter_context(_connected(server))
            waiting[name].sendall(start)
        answers = {name: _read(connection) for name, connection in waiting.items()}
    for name, answer in answers.items():
        assert answer.status == 408, name
        assert "not complete within 1 s" in answer.error, name
        assert answer.headers["connection"] == "close", name


def test_a_large_body_is_refused_before_it_is_sent(server: Server) -> None:
    with _connected(server) as connection:
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000000\r\n\r\n"
        )
        _send(connection, bytes(1 << 20))
        connection.shutdown(socket.SHUT_WR)
        answer = _read(connection)
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


def test_chunks_without_end_are_cut_off(server: Server) -> None:
    with _connected(server) as connection:
        chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
        _send(connection, CHUNKED, *[chunk] * 40)
        connection.shutdown(socket.SHUT_WR)
        assert _read(connection).status == 413


def test_a_body_in_chunks_of_one_byte_is_read(server: Server) -> None:
    content = photo(size=(20, 20))
    with _connected(server) as connection:
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
        connection.sendall(CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
        assert _read(connection).status == 200


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * (1 << 24), 431),
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200_000, 431),
        (b"GET /" + b"y" * (1 << 20) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (CHUNKED + b"0\r\n" + b"X: " + b"y" * (1 << 24), 431),
        (CHUNKED + b"1;" + b"y" * (1 << 24), 431),
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"hello\r\n\r\n", 400),
        (b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
    ],
    ids=[
        "one header", "many headers", "path", "trailer", "chunk extension", "a little too much",
        "TLS", "text", "length",
    ],
)  # fmt: skip
def test_headers_without_end_and_what_is_no_http_are_refused(
    server: Server, start: bytes, status: int
) -> None:
    with _connected(server) as connection:
        _send(connection, *(start[at : at + 65536] for at in range(0, len(start), 65536)))
        with contextlib.suppress(AssertionError, IndexError):  # cut off before it could be read
            assert _read(connection).status == status
    if len(start) < 65536:
        with _connected(server) as connection:
            connection.sendall(start)
            answer = _read(connection)
            assert answer.status == status
            assert answer.error


def test_a_connection_cut_within_a_body_or_before_the_answer_is_forgotten(server: Server) -> None:
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    for content in (photo(), photo()[:-1]):
        with _connected(server) as connection:
            connection.sendall(head % len(photo()) + content)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with _connected(server) as connection:
        connection.sendall(
            b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        data = b""
        while part := connection.recv(1 << 16):
            data += part
    assert data.index(b"200 OK") < data.index(b"404 Not Found")


def test_compressed_bodies_are_not_unpacked(server: Server) -> None:
    answer = server.post("/v1/classify", zlib.compress(photo()), content_encoding="gzip")
    assert (answer.status, "compressed" in answer.error) == (415, True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"inputs":' + b"[" * 90_000 + b"]" * 90_000 + b"}", 400),
        (b"[" * 200_000, 413),
        (b"[" + b"1," * 450_000 + b"1]", 413),
        (b'{"inputs": ' + b"9" * 5000 + b"}", 400),
        (b"\xff\xfe", 400),
        (b"[]", 400),
        (b"null", 400),
    ],
    ids=["deep", "very deep", "long", "a long number", "no text", "list", "null"],
)
def test_hostile_json_is_refused(server: Server, body: bytes, status: int) -> None:
    answer = server.post("/v2/models/tiny/infer", body)
    assert answer.status == status
    assert answer.error


def _png(width: int, height: int) -> bytes:
    """A PNG of black that is small as a file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20), 9)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_bombs_are_refused_by_their_header(server: Server) -> None:
    for side, message in ((9_000, "has 9000x9000 pixels; at most 1,000,000"), (50_000, "pixels")):
        answer = server.post("/v1/classify", _png(side, side))
        assert answer.status == 422
        assert message in answer.error


def test_of_many_pages_the_first_is_answered(server: Server) -> None:
    file = io.BytesIO()
    page = Image.new("L", (8, 8))
    page.save(file, "TIFF", save_all=True, append_images=[page] * 199)
    assert server.post("/v1/classify", file.getvalue()).status == 200


def test_names_do_not_lead_out_of_the_table(server: Server) -> None:
    for name in ("..%2f..%2fetc", "%2e%2e", "tiny%00", "a" * 10_000, "\u00e9".encode().hex()):
        assert server.get(f"/v2/models/{name}").status == 404
        assert server.post(f"/v1/classify/{name}", photo()).status == 404


def test_idle_connections_make_room_for_a_new_one(bundle: Path) -> None:
    with (
        serving(bundle, "--workers", 1, "--max-connections", 8, "--drain", 0) as running,
        contextlib.ExitStack() as connections,
    ):
        for _ in range(30):
            connections.enter_context(_connected(running))
        for _ in range(3):
            kept = connections.enter_context(_connected(running))
            kept.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += kept.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200")
