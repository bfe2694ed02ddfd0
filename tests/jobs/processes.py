"""Processes that a test looks for, waits for and kills; Linux only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

LIMIT = 180.0
"""Seconds, on a machine that has much else to do."""


def wait_for(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait until `condition` holds."""
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def children(pid: int) -> Iterator[int]:
    """The processes that a process has started."""
    for each in Path("/proc").glob("[0-9]*"):
        fields = _fields(int(each.name))
        if fields and int(fields[1]) == pid:
            yield int(each.name)


def descendants(pid: int) -> Iterator[int]:
    """Those, and the ones that they have started."""
    for each in children(pid):
        yield each
        yield from descendants(each)


def is_alive(pid: int) -> bool:
    """Whether a process has not ended."""
    fields = _fields(pid)
    return bool(fields) and fields[0] not in "ZX"


def title(pid: int) -> str:
    """A process's command line, or what it calls itself."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _fields(pid: int) -> list[str]:
    """State, parent and so on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
