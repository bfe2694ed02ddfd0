"""Where downloads, converted bundles and compiled networks are kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """`PPLCNET_CACHE`, or the user's cache folder; for a user without a home a temporary one."""
    given = os.environ.get("PPLCNET_CACHE")
    if given:
        return Path(given)
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "pplcnet"
    try:
        return Path.home() / ".cache" / "pplcnet"
    except RuntimeError:  # neither HOME nor an entry among the users, as in many containers
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"pplcnet-{user}"
