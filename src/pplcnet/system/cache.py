"""Where downloads, converted bundles and compiled networks are kept."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from pplcnet.errors import InputError

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """`PPLCNET_CACHE`, or the user's cache folder; a temporary one for a user without a home.

    Raises:
        InputError: the temporary folder's name is taken by another user.
    """
    given = os.environ.get("PPLCNET_CACHE")
    if given:
        return Path(given)
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "pplcnet"
    try:
        return Path.home() / ".cache" / "pplcnet"
    except RuntimeError:  # neither HOME nor a user entry, as in many containers
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return _private(Path(tempfile.gettempdir()) / f"pplcnet-{user}")


def _private(folder: Path) -> Path:
    """The folder, created if needed; no other user can write to it, as its files are trusted."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be created ({error.strerror}); set PPLCNET_CACHE to another folder."
        ) from error
    facts = folder.lstat()
    is_own = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
    if not stat.S_ISDIR(facts.st_mode) or not is_own or facts.st_mode & 0o022:
        raise InputError(
            f"{folder}: is a link, belongs to another user, or others can write to it; remove it, "
            "or set PPLCNET_CACHE to a folder of your own."
        )
    folder.chmod(0o700)
    return folder
