"""A few photos of a source, whatever it is."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="jobs need pyarrow, which 'make test' installs")

from pplcnet.jobs.samples import write_samples
from pplcnet.jobs.source import find_source


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(bytes([number]))
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(folder, "photos")
    names = "\n".join(["photos/absent.jpg", *(f"photos/{number}.jpg" for number in range(3))])
    (tmp_path / "names.txt").write_text(names)
    return folder


@pytest.mark.parametrize("name", ["photos", "photos.tar", "names.txt"])
def test_samples_are_photos_of_the_source(photos: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    source = find_source(str(tmp_path / name))
    two = [each.read_bytes() for each in write_samples(source, out, 2)]
    assert len(set(two)) == 2
    assert set(two) < {b"\0", b"\1", b"\2"}
    assert len(write_samples(source, out, 9)) == 3
