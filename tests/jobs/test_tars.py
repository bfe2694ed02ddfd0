"""Tar files: a shard each, their photos in the order in which they are stored."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pplcnet.errors import ImageError
from pplcnet.jobs.classify import Result
from pplcnet.jobs.failures import StorageFailure
from pplcnet.jobs.photos import Photos
from pplcnet.jobs.tars import photos_in_tar


def _pack(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_photos_of_a_tar_come_in_its_order_and_nothing_else_does(tmp_path: Path) -> None:
    names = ["b.jpg", "./a/c.PNG", "a/.hidden.jpg", "a/c.json", "naïve\nname.webp"]
    path = _pack(tmp_path / "x.tar", {name: name.encode() for name in names})
    with path.open("rb") as file:
        assert list(photos_in_tar(file, "x.tar")) == [
            ("x.tar/b.jpg", b"b.jpg"),
            ("x.tar/a/c.PNG", b"./a/c.PNG"),
            ("x.tar/naïve\nname.webp", "naïve\nname.webp".encode()),
        ]


def test_a_photo_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pplcnet.jobs.tars.MAX_FILE_BYTES", 5)
    path = _pack(tmp_path / "x.tar", {"a.jpg": b"123456", "b.jpg": b"12345"})
    with path.open("rb") as file:
        (_, large), (_, small) = photos_in_tar(file, "x.tar")
    assert isinstance(large, ImageError)
    assert "6 bytes; up to 5 are read" in large.reason
    assert small == b"12345"


@pytest.mark.parametrize("kept", [100, 600, 1500, 2700, 3200])
def test_a_tar_that_is_cut_off_is_a_storage_error(tmp_path: Path, kept: int) -> None:
    path = _pack(tmp_path / "x.tar", {"a.jpg": bytes(2000), "b.jpg": bytes(2000)})
    with pytest.raises(StorageFailure, match=r"x\.tar: is damaged or incomplete"):
        list(photos_in_tar(io.BytesIO(path.read_bytes()[:kept]), "x.tar"))


def test_a_tar_with_a_damaged_header_does_not_end_there_without_a_word(tmp_path: Path) -> None:
    path = _pack(tmp_path / "x.tar", {f"{name}.jpg": bytes(2000) for name in "abc"})
    content = bytearray(path.read_bytes())
    content[2560 + 100] ^= 1  # in the header of b.jpg
    with pytest.raises(StorageFailure, match=r"x\.tar: is damaged or incomplete \(bad checksum"):
        list(photos_in_tar(io.BytesIO(content), "x.tar"))


def test_a_tar_of_many_other_files_takes_no_memory_for_each(tmp_path: Path) -> None:
    path = _pack(tmp_path / "x.tar", {f"{number}.txt": b"" for number in range(50)})
    seen = []
    with pytest.MonkeyPatch.context() as patched, path.open("rb") as file:
        patched.setattr("pplcnet.jobs.tars.is_photo", lambda name: False)
        opened = tarfile.open

        def watched(**options: object) -> tarfile.TarFile:
            seen.append(opened(**options))  # type: ignore[call-overload]
            return seen[-1]

        patched.setattr("pplcnet.jobs.tars.tarfile.open", watched)
        assert list(photos_in_tar(file, "x.tar")) == []
    assert len(seen[0].members) <= 1


def test_a_pipe_among_tar_files_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tar")
    with pytest.raises(StorageFailure, match=r"x\.tar: not a regular file"):
        Photos(str(tmp_path)).open(b"x.tar")


@pytest.mark.usefixtures("workers_here")
def test_each_tar_is_a_shard_of_the_job(
    run_job: Callable[..., Result], job_photos: Path, tmp_path: Path
) -> None:
    for folder in ("class_0", "class_1"):
        files = {each.name: each.read_bytes() for each in sorted((job_photos / folder).iterdir())}
        _pack(tmp_path / f"{folder}.tar", {"broken.jpg": b"no photo", **files})
    result = run_job(tmp_path / "class_*.tar")
    assert (result.progress.done_photos, result.progress.broken) == (26, 2)
    run_job(job_photos / "..", tmp_path / "folder", shard_photos=12)
    of_tar = pq.read_table(tmp_path / "JOB" / "parts" / "part-000001.parquet").to_pylist()
    assert of_tar[0]["path"] == "class_1.tar/broken.jpg"
    of_folder = pq.read_table(tmp_path / "folder" / "parts" / "part-000001.parquet").to_pylist()
    assert [row["answers"] for row in of_tar[1:]] == [row["answers"] for row in of_folder]


@pytest.mark.usefixtures("workers_here")
def test_a_tar_that_is_damaged_is_given_up_and_the_others_are_done(
    run_job: Callable[..., Result], job_photos: Path, tmp_path: Path
) -> None:
    photo = (job_photos / "class_0" / "000.png").read_bytes()
    _pack(tmp_path / "a.tar", {"a.png": photo, "b.png": photo})
    _pack(tmp_path / "b.tar", {"a.png": photo})
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[: len(photo) + 600])
    result = run_job(tmp_path / "*.tar", retries=0)
    assert list(result.progress.failed) == [0]
    assert "a.tar: is damaged or incomplete" in result.progress.failed[0]
    assert result.progress.done_photos == 1
