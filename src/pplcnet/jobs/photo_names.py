"""Which names count as photos, for lists, tar files and object storage."""

from __future__ import annotations

import os

from pplcnet.imaging.formats import image_endings

__all__ = ["is_photo"]


def is_photo(name: str) -> bool:
    """Whether a name has a photo's extension and is not hidden."""
    base = name.rpartition("/")[2]
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in image_endings()
