"""Where photos are read and results written: folders, and object storage by its address."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from pplcnet.errors import StorageError, require
from pplcnet.jobs.failures import DISK_FULL, StorageFailure
from pplcnet.system.files import replacing

__all__ = ["LEFTOVER", "Folder", "Storage", "is_address", "objects_module", "open_storage"]

LEFTOVER = re.compile(r"\..+\.writing")
"""Names of files that a killed process was still writing."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class Storage(Protocol):
    """Files below one place, named relative to it with / between folders.

    Writes are atomic. Every method may raise StorageFailure if retrying may help, and StorageError
    or InputError if it will not.
    """

    def read(self, name: str) -> bytes | None:
        """The content; None if there is no such file."""
        ...

    def write(self, name: str, content: bytes | Path) -> None:
        """Write or replace a file; a Path is a local file whose content is copied."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless it exists; returns whether it was written."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the file exists."""
        ...

    def names(self, folder: str) -> Iterator[str]:
        """The names of the files directly in `folder`, relative to it, in any order."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        ...


def is_address(text: str) -> bool:
    """Whether the text is an address, such as s3://bucket/photos, and not a path."""
    return _ADDRESS.match(text) is not None


def open_storage(place: str) -> Storage:
    """The storage at a path or an address.

    Raises:
        InputError: an address of an unknown kind.
        MissingDependencyError: its library is not installed.
    """
    if not is_address(place):
        return Folder(place)
    return cast(Storage, objects_module().Objects(place))


def objects_module() -> Any:
    """`pplcnet.jobs.objects`; MissingDependencyError if its library is not installed."""
    require("obstore", purpose="object storage", extra="storage")
    return importlib.import_module("pplcnet.jobs.objects")


class Folder:
    """A folder on a disk, which several machines may share."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageFailure(f"{self.path / name}: {error.strerror or error}.") from error

    def write(self, name: str, content: bytes | Path) -> None:
        """See `Storage`."""
        path = self.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The name is unique to this attempt: other machines may write the same file.
            with replacing(path, temporary=f".{path.name}.{uuid.uuid4().hex}.writing") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, file, 1 << 20)
        except OSError as error:
            raise self._failure(path, error) from error

    def create(self, name: str, content: bytes) -> bool:
        """See `Storage`."""
        path = self.path / name
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.writing")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with beside.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                self._move_unless_there(beside, path)
            except FileExistsError:
                return False
            finally:
                with contextlib.suppress(OSError):
                    beside.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(path, error) from error
        return True

    def exists(self, name: str) -> bool:
        """See `Storage`."""
        return (self.path / name).exists()

    def names(self, folder: str) -> Iterator[str]:
        """See `Storage`."""
        try:
            with os.scandir(self.path / folder) as entries:
                yield from (each.name for each in entries)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageFailure(f"{self.path / folder}: {error.strerror or error}.") from error

    def remove(self, name: str) -> None:
        """See `Storage`."""
        with contextlib.suppress(OSError):
            (self.path / name).unlink(missing_ok=True)

    @staticmethod
    def _move_unless_there(beside: Path, path: Path) -> None:
        try:
            os.link(beside, path)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            if path.exists():  # this file system has no hard links
                raise FileExistsError from error
            os.replace(beside, path)

    def _failure(self, path: Path, error: OSError) -> Exception:
        cause = error.__cause__ if isinstance(error, StorageError) else error
        code = cause.errno if isinstance(cause, OSError) else None
        text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
        if code in DISK_FULL or isinstance(cause, PermissionError):
            return StorageError(f"{path}: cannot be written ({text}).")
        return StorageFailure(f"{path}: cannot be written ({text}).")
