"""Processes of this machine as the nodes of one training."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SECONDS = 300


def free_addresses(count: int = 2) -> str:
    """Ports of this machine that nobody listens on, as --nodes takes them."""
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in listening]
    for each in listening:
        each.close()
    return ",".join(found)


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that runs a module; stdout and stderr in one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ
        | {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERAS_BACKEND": "tensorflow",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        cwd=Path(__file__).parents[2],
    )


def ends(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """The exit code of each, and what it printed; none of them is left running."""
    try:
        texts = [each.communicate(timeout=SECONDS)[0] for each in processes]
    finally:
        for each in processes:
            each.kill()
    return [(each.returncode, text) for each, text in zip(processes, texts, strict=True)]
