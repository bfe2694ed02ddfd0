"""The cache folder is the user's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pplcnet.errors import InputError
from pplcnet.system.cache import cache_folder


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are POSIX'")
@pytest.mark.parametrize("kind", ["link", "file", "writable by others"])
def test_a_temporary_cache_that_others_could_fill_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.delenv("PPLCNET_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(_no_home))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"pplcnet-{os.getuid()}"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(InputError, match="set PPLCNET_CACHE to a folder of your own"):
        cache_folder()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "pplcnet-12345").mkdir()
    with pytest.raises(InputError, match="belongs to another user"):
        cache_folder()


def _no_home(_: type) -> Path:
    raise RuntimeError("no home")
