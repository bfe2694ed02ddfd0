"""Whether a folder can be written to, asked before the work whose result it is to hold."""

from __future__ import annotations

import tempfile
from os import PathLike
from pathlib import Path

from pplcnet.errors import InputError

__all__ = ["check_writable"]


def check_writable(folder: str | PathLike[str]) -> None:
    """InputError when `folder` is no folder, or nothing can be written there.

    A folder that does not exist yet is judged by the nearest that does; nothing is left behind.
    """
    folder = Path(folder)
    nearest = folder.resolve()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        what = "is" if nearest == folder.resolve() else f"cannot be made: {nearest} is"
        raise InputError(f"{folder}: {what} a file, not a folder; choose another place.")
    try:
        # Trying is the only answer that holds for read-only disks, quotas and the superuser.
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror or error}); choose another place."
        ) from error
