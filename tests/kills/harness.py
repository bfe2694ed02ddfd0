"""Kills a process at each system call that changes a folder, and looks at what is left.

The action runs in a forked child under ptrace. A first run, which is not killed, lists the system
calls that write, rename or remove something in the folder; then the action is run once for each
kill point: SIGKILL before the call, after half of the bytes of a write, or after the call. These
are real system calls: what numpy, zipfile or a lock does below Python is hit like the rest.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import struct
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TRACEME, POKEUSER, SYSCALL, SETOPTIONS, SYSCALL_INFO = 0, 6, 24, 0x4200, 0x420E
TRACE_SYSGOOD, TRACE_FORK, TRACE_CLONE, EXIT_KILL = 1, 2, 8, 1 << 20
WAIT_ALL_THREADS = 0x40000000
THIRD_ARGUMENT_X86_64 = 96  # rdx in struct user: the size of a write
AT_FDCWD = 0xFFFFFF9C
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

# Name to (number on x86_64, on aarch64, kind of its arguments). The kinds: "fd" a descriptor comes
# first; "path" a path; "paths" two paths; "at" folder descriptor and path; "ats" two such pairs.
CALLS = {
    "write": (1, 64, "fd"), "pwrite64": (18, 68, "fd"), "writev": (20, 66, "fd"),
    "ftruncate": (77, 46, "fd"), "fsync": (74, 82, "fd"), "fdatasync": (75, 83, "fd"),
    "fchmod": (91, 52, "fd"), "sendfile": (40, 71, "fd"), "copy_file_range": (326, 285, "third"),
    "fallocate": (285, 47, "fd"), "rename": (82, None, "paths"), "renameat": (264, 38, "ats"),
    "renameat2": (316, 276, "ats"), "link": (86, None, "paths"), "linkat": (265, 37, "ats"),
    "symlink": (88, None, "second"), "symlinkat": (266, 36, "link-at"),
    "unlink": (87, None, "path"), "unlinkat": (263, 35, "at"), "rmdir": (84, None, "path"),
    "mkdir": (83, None, "path"), "mkdirat": (258, 34, "at"), "chmod": (90, None, "path"),
    "fchmodat": (268, 53, "at"), "truncate": (76, 45, "path"), "open": (2, None, "open"),
    "openat": (257, 56, "openat"),
}  # fmt: skip
MACHINE = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
NAMES = {} if MACHINE is None else {each[MACHINE]: (name, each[2]) for name, each in CALLS.items()}
PARTIAL = ("write", "pwrite64")
HANG_SECONDS = 60


class Point(NamedTuple):
    """A place to kill: at the `number`-th call that changes the folder."""

    number: int
    call: str
    path: str
    when: str
    """ "before", "within" (half of a write done) or "after"."""


def kill_everywhere(
    folder: Path,
    prepare: Callable[[Path], None],
    action: Callable[[Path], None],
    check: Callable[[Path, Point], None],
    *,
    limit: int | None = None,
) -> list[Point]:
    """Run `action(folder)` killed at every point; `check(folder, point)` looks at what is left.

    `prepare` fills the folder anew each time. `limit` takes so many points, evenly chosen. Returns
    the points at which a process was really killed.
    """
    whole = _fresh(folder, prepare, action, None)
    assert whole.finished, "the action fails when nobody kills it"
    assert whole.calls, "the action changes nothing in the folder"
    points = list(_points(whole.calls))
    if limit is not None and limit < len(points):
        points = [points[at * len(points) // limit] for at in range(limit)]
    hit = []
    for point in points:
        outcome = _fresh(folder, prepare, action, point)
        assert outcome.killed, f"{point}: was not reached"
        assert outcome.calls[-1][0] == point.call, f"{point}: another call, {outcome.calls[-1]}"
        hit.append(point)
        try:
            check(folder, point)
        except BaseException as error:
            left = sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))
            error.add_note(f"killed at {point}; left is {left}")
            raise
    return hit


def _points(calls: list[tuple[str, str]]) -> Iterator[Point]:
    for number, (call, path) in enumerate(calls):
        yield Point(number, call, path, "before")
        if call in PARTIAL and MACHINE == 0:
            yield Point(number, call, path, "within")
        yield Point(number, call, path, "after")


def _fresh(
    folder: Path,
    prepare: Callable[[Path], None],
    action: Callable[[Path], None],
    point: Point | None,
) -> _Tracer:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prepare(folder)
    tracer = _Tracer(folder, point)
    tracer.run(action)
    return tracer


def _ptrace(request: int, pid: int, address: int, data: int) -> int:
    function = ctypes.CDLL(None, use_errno=True).ptrace
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return function(request, pid, address, data)


class _Tracer:
    """One run of the action in a traced child, killed at a point or not at all."""

    def __init__(self, folder: Path, point: Point | None) -> None:
        self.folder = folder
        self.point = point
        self.calls: list[tuple[str, str]] = []
        """System calls that changed the folder, with their paths."""
        self.killed = self.finished = False
        self._last: int | None = None
        """The thread inside the call that is killed after."""

    def run(self, action: Callable[[Path], None]) -> None:
        child = os.fork()
        if not child:
            _be_traced(self.folder, action)
        os.waitpid(child, 0)
        _ptrace(SETOPTIONS, child, 0, TRACE_SYSGOOD | TRACE_FORK | TRACE_CLONE | EXIT_KILL)
        _ptrace(SYSCALL, child, 0, 0)
        while True:
            thread, status = os.waitpid(-child, WAIT_ALL_THREADS)
            if os.WIFSTOPPED(status):
                self._stopped(child, thread, os.WSTOPSIG(status))
            elif thread == child:
                self.finished = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
                return

    def _stopped(self, child: int, thread: int, number: int) -> None:
        if number == signal.SIGTRAP | 0x80:
            self._at_call(thread)
            if self.killed:
                os.kill(child, signal.SIGKILL)
                return
        is_ours = number in (signal.SIGTRAP | 0x80, signal.SIGTRAP, signal.SIGSTOP)
        _ptrace(SYSCALL, thread, 0, 0 if is_ours else number)

    def _at_call(self, thread: int) -> None:
        """The thread enters or leaves a system call."""
        if self._last == thread:
            self.killed = True
            return
        call = _call(thread, self.folder)
        if call is None:
            return
        self.calls.append(call[:2])
        if self.point is not None and len(self.calls) == self.point.number + 1:
            if self.point.when == "before":
                self.killed = True
                return
            self._last = thread
            if self.point.when == "within":
                _ptrace(POKEUSER, thread, THIRD_ARGUMENT_X86_64, call[2] // 2)


def _be_traced(folder: Path, action: Callable[[Path], None]) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        signal.alarm(HANG_SECONDS)
        _ptrace(TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        action(folder)
        code = 0
    except Exception:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


def _call(thread: int, folder: Path) -> tuple[str, str, int] | None:
    """At the entry of a call that changes the folder: its name, path and third argument."""
    info = ctypes.create_string_buffer(88)
    if _ptrace(SYSCALL_INFO, thread, len(info), ctypes.addressof(info)) < 0 or info.raw[0] != 1:
        return None
    number, *arguments = struct.unpack_from("<7Q", info.raw, 24)
    if number not in NAMES:
        return None
    name, kind = NAMES[number]
    if kind in ("open", "openat") and not arguments[1 if kind == "open" else 2] & WRITING_FLAGS:
        return None
    for path in _paths(thread, kind, arguments):
        if Path(path).is_relative_to(folder):
            return name, str(Path(path).relative_to(folder)), arguments[2]
    return None


def _paths(thread: int, kind: str, arguments: list[int]) -> Iterator[str]:
    if kind in ("fd", "third"):
        yield _descriptor(thread, arguments[0 if kind == "fd" else 2])
        return
    places = {
        "path": [(None, 0)], "open": [(None, 0)], "paths": [(None, 0), (None, 1)],
        "second": [(None, 1)], "at": [(0, 1)], "openat": [(0, 1)], "link-at": [(1, 2)],
        "ats": [(0, 1), (2, 3)],
    }[kind]  # fmt: skip
    for at, where in places:
        text = _text(thread, arguments[where])
        base = AT_FDCWD if at is None else arguments[at] & 0xFFFFFFFF
        start = f"/proc/{thread}/cwd" if base == AT_FDCWD else f"/proc/{thread}/fd/{base}"
        yield text if text.startswith("/") else os.path.join(os.readlink(start), text)


def _descriptor(thread: int, number: int) -> str:
    try:
        return os.readlink(f"/proc/{thread}/fd/{number}")
    except OSError:
        return ""


def _text(thread: int, address: int) -> str:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        content = b""
        for piece in iter(lambda: memory.read(256), b""):
            content += piece
            if b"\0" in content:
                break
    return os.fsdecode(content.split(b"\0")[0])


def describe(points: list[Point]) -> str:
    """How many kills hit which system call, for the log of a test."""
    counts = Counter(point.call for point in points)
    return ", ".join(f"{count} at {call}" for call, count in sorted(counts.items()))


def _can_trace() -> bool:
    """Whether this system lets a process trace its child."""
    if MACHINE is None or sys.platform != "linux":
        return False
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if _ptrace(TRACEME, 0, 0, 0) == 0 else 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


needs_tracing = pytest.mark.skipif(not _can_trace(), reason="ptrace is not allowed here")
