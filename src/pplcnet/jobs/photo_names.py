"""Which names are those of photos, outside of folders on a disk."""

from __future__ import annotations

import os

from pplcnet.imaging.formats import image_endings

__all__ = ["is_photo"]


def is_photo(name: str) -> bool:
    """Whether a name has the ending of a photo and is not hidden."""
    base = name.rpartition("/")[2]
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in image_endings()
