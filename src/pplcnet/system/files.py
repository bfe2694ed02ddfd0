"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any

from pplcnet.errors import InputError, StorageError
from pplcnet.system.writable import check_writable

__all__ = [
    "check_file",
    "named_failures",
    "replacing",
    "sync_folder",
    "write_durably",
    "write_text",
]


def check_file(path: str | PathLike[str]) -> None:
    """InputError, before the work, when no file can be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file.")
    if path.exists() and not path.is_file():
        # Moving the finished file there would replace the device itself.
        raise InputError(f"{path}: is a pipe or a device; give the name of a file.")
    if not path.resolve().parent.exists():
        raise InputError(f"{path}: its folder does not exist; make it, or choose another.")
    check_writable(path.resolve().parent)


def write_text(path: str | PathLike[str], text: str) -> Path:
    """Write UTF-8 text as `replacing` does."""
    with replacing(path, "w") as file:
        file.write(text)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """A file beside `path` to write to, moved there at the end; until then the old one stays.

    Args:
        mode: "wb", or "w" for UTF-8 text whose line ends are written as they are.

    Raises:
        StorageError: it cannot be written; what stood at `path` is intact.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with named_failures(path):
        try:
            with temporary.open(mode, **text) as file:  # type: ignore[call-overload]
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named_failures(path: str | PathLike[str]) -> Iterator[None]:
    """Within, an OSError becomes a StorageError that names `path`.

    The system names no file where a write fails, as on a full disk.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error}).") from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and have the system put it on the disk before going on."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system can be asked to."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not for folders on this file system
            raise
    finally:
        os.close(descriptor)
