"""Recognises backbones from `pplcnet pretrain`, which were trained on formula pictures only.

`weights/backbones.py` writes and reads such files; this module only checks whether a file is one,
without reading its weights.
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
"""Size limit of that text in bytes."""
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
"""Size limit in bytes of the header with an array's type and shape."""


def is_formula_backbone(weights: object) -> bool:
    """Whether a recipe's `weights` is a file from `pplcnet pretrain`.

    False for every other start, and for a file that is missing, damaged or of a later format, which
    is reported when its weights are read.
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
