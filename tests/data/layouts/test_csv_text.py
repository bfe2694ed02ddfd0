"""CSV files as spreadsheets and pandas write them: every row is read, or refused."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from tests.data.layouts.tables import open_table, refusal

ROWS = "".join(f"{n}.png{{0}}{'ab'[n % 2]}\n" for n in range(4))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("path;label\n" + ROWS.format(";"), "table.csv"),
        ("path\tlabel\n" + ROWS.format("\t"), "table.csv"),
        ("path\tlabel\n" + ROWS.format("\t"), "table.tsv"),
        ("sep=;\r\npath;label\r\n" + ROWS.format(";"), "table.csv"),
        ("path,label\r" + ROWS.format(",").replace("\n", "\r"), "table.csv"),
        ("\n\n path , Label \n" + ROWS.format(" , ") + "\n,\n", "table.csv"),
        ("path,label,,\n" + ROWS.format(",").replace("\n", ",,\n") + ",,,\n", "table.csv"),
        (",path,label\n0,0.png,a\n1,1.png,b\n2,2.png,a\n3,3.png,b\n", "table.csv"),
        ('path, label\n0.png, "a"\n"1.png",b\n2.png,a\n3.png,b\n', "table.csv"),
        (("path\tlabel\n" + ROWS.format("\t")).encode("utf-16"), "table.csv"),
        (b"\xef\xbb\xbf" + ("path;label\n" + ROWS.format(";")).encode(), "table.csv"),
    ],
    ids=["semicolons", "tabs", "tsv", "sep line", "old Mac", "blank lines", "empty columns",
         "row numbers of pandas", "space before a quote", "UTF-16", "byte order mark"],
)  # fmt: skip
def test_what_spreadsheets_write_is_read(folder: Path, content: str | bytes, name: str) -> None:
    dataset = open_table(folder, content, name)
    assert dataset.classes == ("a", "b")
    assert [image.path.name for image in dataset.images] == [f"{n}.png" for n in range(4)]
    assert [image.shown[0] for image in dataset.images] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("path,label\n0.png,a\n1.png,salt, coarse\n",
         "line 3: has 3 cells, the header has 2; put a cell that contains a comma in double"),
        ("path;label\n0.png;a\n1.png;b;c\n", "contains a semicolon"),
        ("path,label,split\n0.png,a,train\n1.png,b\n",
         "line 3: has 2 cells, the header has 3; write every cell"),
        ("path,label,\n0.png,a,\n1.png,salt,coarse\n",
         "column 3 has no name in the header, but holds 'coarse' on line 3"),
        ('path,label,remark\n0.png,a,\n1.png,b,"dark\n2.png,a,\n3.png,b,"ok"\n',
         "line 3: a double quote that begins a cell here is not closed properly before the end of "
         "line 5"),
        ('path,label,remark\n0.png,a,"dark\n1.png,b,\n2.png,a,"\n3.png,b,\n',
         "line 2: a double quote joins this line and all up to line 4 into one row"),
        ('path,label\n0.png,"a\n1.png,b\n', "line 2: a double quote"),
        ('path,"label\n0.png,a\n', "line 1: a double quote"),
        ('path,label\n0.png,"a"b\n1.png,b\n', "line 2: a double quote that begins a cell here"),
        ("path,label\n" + "a" * 140_000 + ",a\n", "line 2: has a cell of more than 131072"),
        ("path,label,split\n0.png,a,train\n1.png,b,\n", "line 3: the split is empty, but"),
        ("path,label\n", "lists no photos"),
    ],
    ids=["extra cell", "extra cell of semicolons", "short row", "extra cell of a nameless column",
         "stray quote", "quote that swallows rows", "unclosed quote", "quote in the header",
         "text after a quote", "endless cell", "no split", "header only"],
)  # fmt: skip
def test_a_row_is_never_guessed(folder: Path, content: str, complaint: str) -> None:
    message = refusal(folder, content)
    assert complaint in message
    assert len(message) < 1000


def test_one_changed_byte_never_loses_a_row(folder: Path) -> None:
    rows = "".join(f'{n}.png,"{"big, dog" if n % 2 else "cat"}",ok\n' for n in range(8))
    good = f"path,label,note\n{rows}".encode()
    changes = [b"", b'"', b",", b";", b"\n", b"\r", b"\t", b" ", b"x"]
    generator, read = random.Random(0), 0
    for _ in range(400):
        content = bytearray(good)
        at = generator.randrange(len(content))
        content[at : at + generator.randint(0, 1)] = generator.choice(changes)
        try:
            dataset = open_table(folder, bytes(content))
        except DatasetError:
            continue
        assert len(dataset) == 8
        read += 1
    assert read > 40


def test_every_broken_line_is_named_in_one_message(folder: Path) -> None:
    message = refusal(folder, "path,label\n0.png,a,b\n9.png,a\n1.png\n2.png,\n,b\n")
    assert "5 faults" in message
    for number in (2, 3, 4, 5, 6):
        assert f"line {number}: " in message
    assert f"paths are relative to {folder}" in message


def test_a_file_name_may_hold_a_line_break(folder: Path) -> None:
    (folder / "two\nlines.png").touch()
    dataset = open_table(folder, 'path,label\n"two\nlines.png",a\n1.png,b\n')
    assert [image.path.name for image in dataset.images] == ["two\nlines.png", "1.png"]


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04\x14\x00", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00"]
)
def test_an_excel_workbook_is_called_one(folder: Path, content: bytes) -> None:
    assert "an Excel workbook; save its sheet as 'CSV UTF-8'" in refusal(folder, content)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("path,label\n0.png,caf\u00e9\n".encode("cp1252"), "line 2 is not UTF-8 (byte 0xe9)"),
        (
            "path,label\n0.png,a\n1.png,\u4e2d\u6587\n".encode("gbk"),
            "line 3 is not UTF-8 (byte 0xd6)",
        ),
        ("path,label\n0.png,a\n".encode("utf-16-le"), "line 1 holds a NUL character"),
        ("path,label\n0.png,a\n".encode("utf-32"), "holds a NUL character"),
        (b"path,label\n0.png,a\n1.png,b\0c\n", "line 3 holds a NUL character"),
        ("path,label\n".encode("utf-16") + b"\x00", "begins like UTF-16 and is damaged"),
    ],
    ids=["cp1252", "GBK", "UTF-16 without mark", "UTF-32", "NUL", "cut UTF-16"],
)
def test_another_encoding_is_never_guessed(folder: Path, content: bytes, complaint: str) -> None:
    message = refusal(folder, content)
    assert complaint in message
    assert "as UTF-8" in message


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DatasetError, match="not a file"):
        Dataset.open(tmp_path / "pipe.csv")
    with pytest.raises(DatasetError, match="no such folder or file"):
        Dataset.open("x" * 5000 + ".csv")
