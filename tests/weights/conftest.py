"""The server that downloads are tested against."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.weights.download_server import CONTENT, Handler


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.can_resume = [], True
    server.behave = lambda handler, turn: handler.send_file(CONTENT)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PPLCNET_MIRROR", f"http://127.0.0.1:{server.server_port}/files/")
    for name in ("PPLCNET_OFFLINE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
