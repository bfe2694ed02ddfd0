"""Formats that this installation can read: HEIC needs pillow-heif, AVIF a Pillow that has it.

HEIC is opened without registering anything with Pillow, so that programs that use pplcnet keep
their formats.
"""

from __future__ import annotations

import importlib.util
import io
from functools import cache
from typing import Any

from PIL import Image

from pplcnet.errors import ImageError

__all__ = ["check_is_read", "image_endings", "open_heic", "to_install"]

ENDINGS = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"]
)
OPTIONAL_ENDINGS = {"HEIF": frozenset([".heic", ".heif", ".hif"]), "AVIF": frozenset([".avif"])}
TO_INSTALL = {
    "HEIF": "pip install 'pplcnet[heic]' (or, in a clone, pip install '.[heic]')",
    "AVIF": "pip install 'pillow>=11.3'",
}


@cache
def _is_read(kind: str) -> bool:
    if kind == "HEIF":
        return importlib.util.find_spec("pillow_heif") is not None
    from PIL import features

    return "avif" in features.modules and bool(features.check("avif"))


def image_endings() -> frozenset[str]:
    """The endings, in lower case, of the files that count as images here."""
    return ENDINGS.union(*(each for kind, each in OPTIONAL_ENDINGS.items() if _is_read(kind)))


def to_install(ending: str) -> str:
    """The command that makes files with this ending readable; empty if there is none."""
    kind = next((kind for kind, each in OPTIONAL_ENDINGS.items() if ending in each), None)
    return "" if kind is None or _is_read(kind) else TO_INSTALL[kind]


def check_is_read(kind: str, name: str) -> None:
    """Raise ImageError, with what to install, if a format (by Pillow's name) cannot be read."""
    if kind in OPTIONAL_ENDINGS and not _is_read(kind):
        what = {"HEIF": "a HEIC image", "AVIF": "an AVIF image"}[kind]
        raise ImageError(
            name, f"{what}, which needs a library that is not installed: {TO_INSTALL[kind]}."
        )


def open_heic(content: bytes) -> Image.Image:
    """The main image of a HEIC file, not loaded yet; errors are pillow-heif's.

    It loads upright, as the file's own boxes say: in this format they count, not EXIF. Images of 10
    and 12 bits are loaded with 8.
    """
    import pillow_heif

    open_file: Any = pillow_heif.HeifImageFile
    image: Image.Image = open_file(io.BytesIO(content))
    return image
