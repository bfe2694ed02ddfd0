"""Text files that are there whole or not at all."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

__all__ = ["write_text"]


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
