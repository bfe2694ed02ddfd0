"""Which bundles are found, under which names and versions."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from pplcnet.errors import InputError
from pplcnet.serving.repository import Source, find_bundles, read_sources


def _bundle(path: Path) -> Path:
    """What looks like a bundle."""
    if path.suffix == ".zip":
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", "{}")
    else:
        path.mkdir(parents=True)
        (path / "manifest.json").write_text("{}")
    return path


def _names(*sources: Source) -> list[tuple[str, str]]:
    return [(each.name, each.version) for each in find_bundles(sources)]


def test_bundles_are_called_as_their_files_or_as_is_said(tmp_path: Path) -> None:
    first = _bundle(tmp_path / "runs" / "first" / "model.bundle")
    packed = _bundle(tmp_path / "birds.v2.zip")
    spaced = _bundle(tmp_path / "my flowers.bundle")
    given = [str(first), str(first.parent), str(packed), str(spaced), f"x={packed}"]
    names = [read_sources([each])[0].name for each in given]
    assert names == ["first", "first", "birds.v2", "my-flowers", "x"]


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    bundle = _bundle(tmp_path / "a.bundle")
    for given, message in (
        ([str(tmp_path / "none")], "no such bundle"),
        ([str(tmp_path / "file.txt")], "neither a bundle nor a folder"),
        ([f"x={tmp_path}"], "a folder of bundles, which take their names"),
        ([f"a={bundle}", str(bundle)], "two bundles are called 'a'"),
    ):
        with pytest.raises(InputError, match=message):
            read_sources(given)


def test_a_folder_has_bundles_runs_and_versions(tmp_path: Path) -> None:
    for place in (
        "a.bundle", "b.zip", "run/model.bundle", "c/1", "c/10.bundle", "c/9.zip", "c/x.bundle",
        ".hidden.bundle",
    ):  # fmt: skip
        _bundle(tmp_path / place)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    assert _names(Source(tmp_path, "")) == [
        ("a", "1"), ("b", "1"), ("c", "1"), ("c", "9"), ("c", "10"), ("run", "1"),
    ]  # fmt: skip


def test_a_bundle_that_is_written_again_has_another_fingerprint(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path / "a.bundle")
    (before,) = find_bundles([Source(bundle, "a")])
    (again,) = find_bundles([Source(bundle, "a")])
    assert before == again
    new = tmp_path / "new"
    new.write_text("{ }")
    os.replace(new, bundle / "manifest.json")
    (after,) = find_bundles([Source(bundle, "a")])
    assert after.fingerprint != before.fingerprint
    (bundle / "manifest.json").unlink()
    assert find_bundles([Source(bundle, "a")]) == []
