"""What SOURCE may be, and the names in it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pplcnet.data.image_files import PassedOver
from pplcnet.errors import InputError
from pplcnet.jobs.source import find_source, list_names


def _names(source: Path, column: str | None = None) -> list[bytes]:
    return list(list_names(find_source(str(source), column), PassedOver()))


def test_a_folder_gives_the_names_of_its_photos_relative_to_it(job_photos: Path) -> None:
    names = sorted(_names(job_photos))
    assert len(names) == 38
    assert names[0] == b"class_0/000.png"
    assert "odd names/a%20 #1\nnaïve.jpg".encode() in names


def test_a_text_file_has_a_name_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("b b.jpg\r\n\nnaïve.jpg\n\xff\n".encode("latin-1"))
    assert _names(path) == [b"b b.jpg", "naïve.jpg".encode("latin-1"), b"\xff"]


def test_a_csv_file_has_a_column_of_names(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('id,file\n1,"a, b.jpg"\n2,./=c.jpg\n3,\n', encoding="utf-8")
    assert _names(path) == [b"a, b.jpg", b"=c.jpg"]
    assert _names(path, "id") == [b"1", b"2", b"3"]


def test_a_parquet_file_has_a_column_of_names(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table({"path": ["a.jpg", None, "ö.jpg"], "size": [1, 2, 3]}), path)
    assert _names(path) == [b"a.jpg", "ö.jpg".encode()]
    with pytest.raises(InputError, match="holds 1, which is not a name"):
        _names(path, "size")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("photo.jpg", b"x", "neither a folder nor a list"),
        ("list.csv", b"a,b\n1,2\n", "has no column 'path' or 'file'"),
        ("list.parquet", b"PAR?", "is not a readable Parquet file"),
        ("list.csv", b"a" * 200_000, "line 1: field larger than field limit"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        find_source(str(tmp_path / name))


def test_names_of_a_list_are_relative_to_its_folder_or_to_a_root(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg")
    assert find_source(str(tmp_path / "list.txt")).root == str(tmp_path)
    assert find_source(str(tmp_path / "list.txt"), root="s3://photos/").root == "s3://photos"
    with pytest.raises(InputError, match="is not a list; --root is for lists"):
        find_source(str(tmp_path), root="elsewhere")


def test_an_address_without_a_bucket_is_named_as_it_was_given() -> None:
    pytest.importorskip("obstore", reason="needs obstore, which 'make test' installs")
    with pytest.raises(InputError, match=r"^s3://: names no bucket"):
        find_source("s3://")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder or list"):
        find_source(str(tmp_path / "nothing"))


def test_a_parquet_list_that_is_damaged_inside_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    names = pa.array([b"a.jpg", b"\xff.jpg"], pa.binary())
    pq.write_table(pa.table({"path": names.view(pa.string())}), path)
    with pytest.raises(InputError, match=r"list\.parquet: is not a readable Parquet file"):
        _names(path)
    pq.write_table(pa.table({"path": [f"{number}.jpg" for number in range(1000)]}), path)
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"list\.parquet: is not a readable Parquet file"):
        _names(path)


def test_empty_names_of_a_parquet_list_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table({"path": pa.array([b"", b"a.jpg", None], pa.binary())}), path)
    assert _names(path) == [b"a.jpg"]


def test_tar_files_in_folders_of_any_depth_are_found(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.tar").touch()
    pattern = str(tmp_path / "**" / "*.tar")
    assert list(list_names(find_source(pattern), PassedOver())) == [b"a/b/x.tar"]
    with pytest.raises(InputError, match="is of tar files; --column is for lists"):
        find_source(pattern, "path")
