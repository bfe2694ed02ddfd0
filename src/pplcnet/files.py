"""Text files that are there whole or not at all."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from pplcnet.errors import InputError
from pplcnet.writable import check_writable

__all__ = ["check_file", "write_text"]


def check_file(path: str | PathLike[str]) -> None:
    """InputError, before the work, when no file can be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file.")
    if not path.resolve().parent.exists():
        raise InputError(f"{path}: its folder does not exist; make it, or choose another.")
    check_writable(path.resolve().parent)


def write_text(path: str | PathLike[str], text: str) -> Path:
    """Write UTF-8 beside `path`, then move it into place; what stood there stays until then."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
