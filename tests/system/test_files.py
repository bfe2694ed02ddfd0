"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import InputError, StorageError
from pplcnet.system.files import (
    check_file,
    check_writable,
    replacing,
    write_arrays,
    write_csv,
    write_text,
)


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    assert write_text(tmp_path / "a.txt", "größer\r\n\n") == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == "größer\r\n\n".encode()
    with replacing(tmp_path / "b.bin") as file:
        file.write(b"\x00\xff")
        assert not (tmp_path / "b.bin").exists()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    assert _names(tmp_path) == ["a.txt", "b.bin"]


def _write_and_fail(path: Path, failure: BaseException) -> None:
    with replacing(path, "w") as file:
        file.write("half of the n")
        raise failure


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, failure: BaseException
) -> None:
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(type(failure)):
        _write_and_fail(path, failure)
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_said_with_the_name(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(StorageError, match=r"a\.txt: cannot be written \(No space left"):
        _write_and_fail(path, OSError(28, os.strerror(28)))
    assert path.read_text() == "old"


def test_the_unfinished_file_can_have_a_fixed_name(tmp_path: Path) -> None:
    (tmp_path / ".a.zip.writing").write_bytes(b"left by a killed process, and longer")
    with replacing(tmp_path / "a.zip", temporary=".a.zip.writing") as file:
        file.write(b"new")
        assert _names(tmp_path) == [".a.zip.writing"]
    assert _names(tmp_path) == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == b"new"


def test_a_table(tmp_path: Path) -> None:
    rows = [["a,b", 1, 0.5], ["=c", None, 1 / 3]]
    exact = write_csv(tmp_path / "exact.csv", ["name", "count", "share"], rows)
    short = write_csv(tmp_path / "short.csv", ["name", "count", "share"], iter(rows), decimals=4)
    head = b'name,count,share\r\n"a,b",1,'
    assert exact.read_bytes() == head + b"0.5\r\n'=c,,0.3333333333333333\r\n"
    assert short.read_bytes() == head + b"0.5000\r\n'=c,,0.3333\r\n"


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays(tmp_path: Path, compressed: bool) -> None:
    arrays = {"layer/kernel": np.zeros((64, 64), np.float32), "count": np.array([3])}
    path = write_arrays(tmp_path / "arrays.npz", arrays, compressed=compressed)
    with np.load(path) as found:
        assert set(found) == set(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)
    assert (path.stat().st_size < 4096) is compressed


def test_objects_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="array of objects"):
        write_arrays(tmp_path / "arrays.npz", {"a": np.array([object()])})
    assert _names(tmp_path) == []


def test_a_folder_that_does_not_exist_yet_is_judged_by_the_nearest(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "newer")
    assert _names(tmp_path) == []
    write_text(tmp_path / "file", "")
    with pytest.raises(InputError, match=r"file: is a file, not a folder"):
        check_writable(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot be created: .*file is a file"):
        check_writable(tmp_path / "file" / "new")


def test_where_no_file_can_be_written(tmp_path: Path) -> None:
    check_file(tmp_path / "new.txt")
    with pytest.raises(InputError, match="is a folder"):
        check_file(tmp_path)
    with pytest.raises(InputError, match="its folder does not exist"):
        check_file(tmp_path / "new" / "new.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="a pipe or a device"):
            check_file(tmp_path / "pipe")
