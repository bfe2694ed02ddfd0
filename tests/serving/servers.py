"""Servers in processes of their own, and a plain client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).resolve().parents[2] / "src"
PATIENCE = 60
"""Seconds that anything here may take."""
# Makes workers do what a photo says: its first bytes end its worker, or keep it busy.
FAULTS = """
import os, signal, sys, time
if "pplcnet.serving.worker" in sys.orig_argv:
    from pplcnet.errors import ImageError
    from pplcnet.imaging import preprocessing
    place = preprocessing.Preprocessing.place
    def faulty(self, source):
        start = bytes(source[:5]) if isinstance(source, bytes) else b""
        if start == b"crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if start == b"sleep":
            time.sleep(float(source[5:]))
            raise ImageError("photo", "slept.")
        return place(self, source)
    preprocessing.Preprocessing.place = faulty
"""


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an error, which is all that an error has."""
        assert list(self.json) == ["error"], self.body
        return self.json["error"]


class Server:
    """A server that runs."""

    def __init__(
        self, process: subprocess.Popen[str], url: str, log: list[str], grpc: str = ""
    ) -> None:
        self.process, self.url, self.log = process, url, log
        self.grpc = grpc
        """The address of gRPC, "" without."""
        host, _, port = url.rpartition("/")[2].rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; `_` in the name of a header is a hyphen."""
        with contextlib.closing(
            http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        ) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: bytes | dict[str, Any] = b"", **headers: str) -> Answer:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        return self.ask("POST", path, content, **headers)

    def ask_plainly(self, request: bytes) -> bytes:
        """What comes back to bytes on a TCP connection, until the server closes it."""
        with socket.create_connection((self.host, self.port), timeout=PATIENCE) as connection:
            connection.sendall(request)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(1 << 16):
                    received += part
            return received

    def workers(self) -> list[int]:
        """The processes of the workers that are alive."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [
            pid
            for pid in map(int, children.read_text().split())
            if "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]
        ]

    def resident_bytes(self) -> int:
        """Memory of the front process."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


@contextlib.contextmanager
def serving(*arguments: object, faults: Path | None = None) -> Iterator[Server]:
    """A server that is ready, on a free port; it is ended afterwards.

    Args:
        faults: a folder in which to put what makes workers obey photos (see FAULTS).
    """
    path = [str(SOURCE)]
    if faults is not None:
        (faults / "sitecustomize.py").write_text(FAULTS)
        path.insert(0, str(faults))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, "-m", "pplcnet", "serve", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(process.stderr), daemon=True)
    try:
        reader.start()
        line = process.stdout.readline()
        found = re.search(r"https?://\S+:\d+", line)
        if found is None:
            process.wait(timeout=PATIENCE)
            reader.join(PATIENCE)
            raise AssertionError(f"the server did not start: {line}{''.join(log)}")
        grpc = re.search(r"gRPC at (\S+:\d+)", line)
        yield Server(process, found[0], log, grpc[1] if grpc else "")
    finally:
        process.kill()
        process.wait(timeout=PATIENCE)
        reader.join(PATIENCE)
        process.stdout.close()
        process.stderr.close()
