"""One writer at a time: an exclusive lock for a run folder, a bundle, or a file to be written.

The operating system holds the lock (flock) and releases it when the process ends, however it ends.
No cleanup is needed after a kill, and a leftover lock file locks nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.errors import InputError

__all__ = ["LOCK_FILE", "locked"]

LOCK_FILE = ".pplcnet.lock"
"""Name of the lock file in a locked folder; it is there only while the lock is held."""

_POLL_SECONDS = 0.05


class _Held:
    """A lock held by this process: the owning thread, and how many times it entered."""

    def __init__(self, lock: Any) -> None:
        self.thread = threading.get_ident()
        self.depth = 1
        self.lock = lock


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


def _forget_after_fork() -> None:
    """Forget all locks in a forked child: they stay with its parent."""
    global _guard
    _guard = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


@contextlib.contextmanager
def locked(
    place: str | PathLike[str], *, wait: float = 0.0, is_file: bool = False
) -> Iterator[None]:
    """Hold the exclusive lock of a folder, or of a file about to be written.

    The same thread may enter again; other threads and processes may not. Readers need no lock.

    Args:
        place: the folder, which is created if needed; a link counts as its target.
        wait: seconds to wait for another holder before giving up.
        is_file: `place` is a file, and its lock file lies next to it.

    Raises:
        InputError: another process or thread holds the lock, or the place cannot be written to.
    """
    shown, real = os.fspath(place), Path(place).resolve()
    made: list[Path] = []
    if is_file:
        path = real.with_name(f".{real.name}.lock")
    else:
        path = real / LOCK_FILE
        made = _make_folders(shown, real)
    held = _enter(shown, path, wait)
    try:
        yield
    finally:
        _leave(path, held)
        for folder in made:
            # Only if nothing was put into it.
            with contextlib.suppress(OSError):
                folder.rmdir()


def _make_folders(shown: str, folder: Path) -> list[Path]:
    """Create a folder and its missing parents; returns the new ones, innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(shown, error) from error
    return missing


def _enter(shown: str, path: Path, wait: float) -> _Held:
    deadline = time.monotonic() + wait
    while True:
        with _guard:
            mine = _held.get(path)
            if mine is not None and mine.thread == threading.get_ident():
                mine.depth += 1
                return mine
            lock = None if mine is not None else _try_lock(shown, path)
            if lock is not None:
                _held[path] = _Held(lock)
                return _held[path]
        if time.monotonic() >= deadline:
            raise InputError(
                f"{shown}: is in use by another pplcnet process{_holder(path)}; wait until it has "
                "finished, or choose another place."
            )
        time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _try_lock(shown: str, path: Path) -> Any:
    """The lock, or None while another process holds it."""
    import filelock  # slow to import, and only writers need it

    if path.is_symlink() or path.is_dir():
        raise InputError(f"{path}: is in the place of the lock file of that name; delete it.")
    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        return None
    except OSError as error:
        raise _unusable(shown, error) from error
    # On a full disk the holder is not named. The writes that then fail say so, and what is kept.
    with contextlib.suppress(OSError):
        path.write_text(str(os.getpid()))
    return lock


def _leave(path: Path, held: _Held) -> None:
    with _guard:
        if _held.get(path) is not held:
            return  # a forked child on its way out: the lock is its parent's
        held.depth -= 1
        if held.depth:
            return
        _held.pop(path, None)
        # Removed while locked: anyone waiting for this file finds that it no longer has a name,
        # and creates a new one. If an open file cannot be removed, it stays.
        with contextlib.suppress(OSError):
            path.unlink()
        held.lock.release()


def _holder(path: Path) -> str:
    """ " (pid 123)", or nothing if the holder is not recorded."""
    try:
        with path.open("rb") as file:
            text = file.read(20)
    except OSError:
        return ""
    return f" (pid {int(text)})" if text.isdigit() else ""


def _unusable(shown: str, error: OSError) -> InputError:
    return InputError(f"{shown}: cannot be written to ({error.strerror or error}).")
