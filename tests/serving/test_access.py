"""Keys, TLS, and pages of other origins."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pplcnet.errors import InputError
from pplcnet.serving.access import read_keys
from tests.serving.conftest import photo
from tests.serving.servers import PATIENCE, Server, serving

KEY = "0123456789abcdef"
PAGE = "https://page.example"


@pytest.fixture(scope="module")
def locked(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Asks for a key and lets pages of one origin ask."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"# of the shop\n{KEY}\n\nanother-key-of-ours\n")
    with serving(
        bundle, "--workers", 1, "--drain", 0, "--api-key-file", keys, "--allow-origin", PAGE,
        "--allow-host", "Photos.example", "--max-request-megabytes", 1,
    ) as running:  # fmt: skip
        yield running


def test_without_a_valid_key_only_health_is_told(locked: Server) -> None:
    for given in ({}, {"authorization": f"Bearer {KEY}x"}, {"authorization": f"Basic {KEY}"}):
        for path in ("/v2", "/metrics", "/v2/models/stats"):
            answer = locked.get(path, **given)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert locked.post("/v1/classify", photo(), **given).status == 401
        assert locked.get("/v2/health/ready", **given).status == 200
    for key in (KEY, "another-key-of-ours"):
        answer = locked.post("/v1/classify", photo(), authorization=f"Bearer {key}")
        assert answer.status == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "has no key"), ("# nothing\n", "has no key"), ("short", "at least 16 characters"),
     ("with spaces in the key", "without spaces")],
)  # fmt: skip
def test_keys_that_protect_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InputError, match=message):
        read_keys(str(tmp_path / "keys"))
    with pytest.raises(InputError, match="cannot be read"):
        read_keys(str(tmp_path / "none"))


def test_pages_of_an_allowed_origin_may_read_errors_too(locked: Server) -> None:
    key = f"Bearer {KEY}"
    for body, status in ((photo(), 200), (b"no photo", 422), (bytes((1 << 20) + 1), 413)):
        answer = locked.post("/v1/classify", body, origin=PAGE, authorization=key)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == PAGE
    asked = locked.ask("OPTIONS", "/v1/classify", origin=PAGE)
    assert asked.status == 204
    assert "authorization" in asked.headers["access-control-allow-headers"]
    other = locked.post("/v1/classify", photo(), origin="https://evil.example", authorization=key)
    assert other.status == 403
    assert "access-control-allow-origin" not in other.headers


def test_a_proxy_may_forward_its_own_name(locked: Server) -> None:
    assert locked.get("/v2/health/live", host="photos.example").status == 200
    assert locked.get("/v2/health/live", host="photos.example:443").status == 200
    assert locked.get("/v2/health/live", host="evil.example").status == 421


def write_certificate(folder: Path, name: str) -> None:
    """A certificate for localhost, and its key, in PEM."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


def _shown_certificate(server: Server, trusted: Path) -> bytes:
    """Of the server, in DER; the connection also answers a request."""
    context = ssl.create_default_context(cafile=str(trusted))
    with (
        contextlib.closing(socket.create_connection((server.host, server.port))) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /v2/health/live HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        return connection.getpeercert(binary_form=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_https_takes_a_new_certificate_on_sighup(bundle: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    write_certificate(tmp_path, "first")
    with serving(
        bundle, "--workers", 1, "--drain", 0,
        "--tls-certificate", certificate, "--tls-key", tmp_path / "key.pem",
    ) as server:  # fmt: skip
        assert server.url.startswith("https://")
        first = _shown_certificate(server, certificate)
        assert not server.ask_plainly(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/")
        write_certificate(tmp_path, "second")
        server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(ssl.SSLError):
                if _shown_certificate(server, certificate) != first:
                    break
            assert time.monotonic() < until
            time.sleep(0.05)
