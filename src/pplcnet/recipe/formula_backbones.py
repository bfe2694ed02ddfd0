"""Which weights files are backbones by `pplcnet pretrain`, which has seen formulas but no photo.

`weights/backbones.py` writes and reads such files; here it is only asked whether a file is one,
without its weights being read.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path

__all__ = ["ABOUT", "ABOUT_LIMIT", "FORMAT", "is_formula_backbone"]

FORMAT = 1
ABOUT = "about"
"""The array that holds the file's description as a JSON text."""
ABOUT_LIMIT = 1 << 16
"""Bytes of that text."""
_UNREADABLE = (
    OSError,
    EOFError,
    LookupError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
)  # encrypted, packed in an unknown way, nested too deeply
_HEADER_LIMIT = 1 << 10
"""Bytes that an array's type and shape may take in front of it."""


def is_formula_backbone(weights: object) -> bool:
    """Whether a recipe's `weights` is a file by `pplcnet pretrain`.

    False for every other start, and for a file that is missing, damaged or of a later format:
    reading its weights says so.
    """
    if not isinstance(weights, str) or Path(weights).suffix != ".npz":
        return False
    import numpy as np

    try:
        with zipfile.ZipFile(weights) as archive:
            member = archive.getinfo(f"{ABOUT}.npy")
            if member.file_size > ABOUT_LIMIT + _HEADER_LIMIT:
                return False
            content = io.BytesIO(archive.read(member))
        text = np.lib.format.read_array(content, allow_pickle=False)
        about = json.loads(text.tobytes())
    except _UNREADABLE:
        return False
    return isinstance(about, dict) and about.get("format") == FORMAT
