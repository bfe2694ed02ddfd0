"""Where downloads, converted bundles and compiled networks are kept."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """`PPLCNET_CACHE`, or the user's cache folder."""
    given = os.environ.get("PPLCNET_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pplcnet"
