"""Write files whole or not at all, and check beforehand whether they can be written.

Everything that a run, an evaluation or a benchmark leaves behind is written with these. A bundle
has several files that change together; `bundle/writing.py` handles that with `write_durably`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pplcnet.errors import InputError, StorageError
from pplcnet.system.csv_cells import CsvWriter

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "check_file",
    "check_writable",
    "named_failures",
    "replacing",
    "sync_folder",
    "write_arrays",
    "write_csv",
    "write_durably",
    "write_text",
]


def check_writable(folder: str | PathLike[str]) -> None:
    """Raise InputError if `folder` is not a folder, or nothing can be written there.

    A folder that does not exist yet is judged by its nearest existing parent. Nothing is left over.
    """
    folder = Path(folder)
    nearest = folder.resolve()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        what = "is" if nearest == folder.resolve() else f"cannot be created: {nearest} is"
        raise InputError(f"{folder}: {what} a file, not a folder; choose another place.")
    try:
        # Only trying gives the right answer for read-only disks, quotas and the superuser.
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror or error}); choose another place."
        ) from error


def check_file(path: str | PathLike[str]) -> None:
    """Raise InputError, before any work, if no file can be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file.")
    if path.exists() and not path.is_file():
        # Moving the finished file there would replace the device itself.
        raise InputError(f"{path}: is a pipe or a device; give the name of a file.")
    if not path.resolve().parent.exists():
        raise InputError(f"{path}: its folder does not exist; create it, or choose another.")
    check_writable(path.resolve().parent)


def write_text(path: str | PathLike[str], text: str) -> Path:
    """Write UTF-8 text as `replacing` does."""
    with replacing(path, "w") as file:
        file.write(text)
    return Path(path)


def write_csv(
    path: str | PathLike[str],
    header: Sequence[str],
    rows: Iterable[Iterable[object]],
    *,
    decimals: int | None = None,
) -> Path:
    """Write a table as CSV as `replacing` does; `CsvWriter` describes the cells.

    Args:
        decimals: digits after the point of a float; None for as many as reading it back takes.
    """
    with replacing(path, "w") as file:
        writer = CsvWriter(file, header)
        for row in rows:
            writer.writerow(
                f"{each:.{decimals}f}" if decimals is not None and isinstance(each, float) else each
                for each in row
            )
    return Path(path)


def write_arrays(
    path: str | PathLike[str], arrays: Mapping[str, np.ndarray], *, compressed: bool = False
) -> Path:
    """Write an .npz file as `replacing` does; ValueError for arrays of objects."""
    import numpy as np  # only writers of arrays need it

    # numpy before 2.1 has no allow_pickle here and would take it for an array of that name.
    if objects := [name for name, each in arrays.items() if each.dtype.hasobject]:
        raise ValueError(f"{path}: {objects[0]!r} is an array of objects")
    save: Callable[..., object] = np.savez_compressed if compressed else np.savez
    with replacing(path) as file:
        save(file, **arrays)
    return Path(path)


@contextlib.contextmanager
def replacing(
    path: str | PathLike[str], mode: str = "wb", *, temporary: str = ""
) -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` that replaces it at the end; until then the old stays.

    Args:
        mode: "wb", or "w" for UTF-8 text whose line ends are written as they are.
        temporary: name of the temporary file. Default: one unique to this process. The holder of a
            lock can give a fixed one, so that the next writer overwrites what a killed one left.

    Raises:
        StorageError: it cannot be written; what stood at `path` is intact.
    """
    path = Path(path)
    beside = path.with_name(temporary or f".{path.name}.{os.getpid()}.writing")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with named_failures(path):
        try:
            with beside.open(mode, **text) as file:  # type: ignore[call-overload]
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)


@contextlib.contextmanager
def named_failures(path: str | PathLike[str]) -> Iterator[None]:
    """Within the context, an OSError becomes a StorageError that names `path`.

    The system names no file if a write fails, as on a full disk.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error}).") from error


def write_durably(path: Path, *content: bytes | memoryview) -> None:
    """Write a file, piece by piece, and sync it to the disk."""
    with path.open("wb") as file:
        for piece in content:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, if the system supports it."""
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
