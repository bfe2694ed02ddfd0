"""CSV files are no formulas to a spreadsheet, and read back as they were written."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path, PurePosixPath

import pytest

import pplcnet
from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits, write_splits
from pplcnet.system.csv_cells import CsvWriter, original, original_path
from tests.conftest import write_photos

NAMES = [
    "=1+1", "+SUM(A1)", "-2+3", "@SUM(1)", "\tx", "\rx", "\nx", "=HYPERLINK('http://a')", "'=x",
    "''=x", "\uff1dx", "-", "'x", "plain", "", "a=b", "-12", "+1.5", "1e9", "\u0661", 'say "=x"',
]  # fmt: skip


def _written(row: list[object]) -> list[str]:
    file = io.StringIO()
    CsvWriter(file, [str(at) for at in range(len(row))]).writerow(row)
    _, read = csv.reader(io.StringIO(file.getvalue(), newline=""))
    return read


@pytest.mark.parametrize("name", NAMES)
def test_text_is_no_formula_and_reads_back(name: str) -> None:
    (cell,) = _written([name])
    assert original(cell) == name
    assert cell[:1] not in ("=", "@", "\t", "\r", "\n", "\uff1d")
    assert cell[:1] not in ("+", "-") or name in ("-12", "+1.5")


@pytest.mark.parametrize("path", ["=x/a.png", "-x.png", "@eaDir/a.png", "+a", "a.png", "/=x"])
def test_a_path_names_the_same_file(path: str) -> None:
    (cell,) = _written([PurePosixPath(path)])
    assert PurePosixPath(cell) == PurePosixPath(path)
    assert cell[:1] not in "=+-@"
    assert original_path(cell) == path


def test_numbers_stay_numbers() -> None:
    assert _written([-1, -0.5, None, True, "-0.25", "+3"]) == [
        "-1",
        "-0.5",
        "",
        "True",
        "-0.25",
        "+3",
    ]


def test_a_header_is_no_formula_either() -> None:
    file = io.StringIO()
    CsvWriter(file, ["path", "=x"])
    assert file.getvalue() == "path,'=x\r\n"


def test_split_csv_reads_back_class_names_that_look_like_formulas(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write_photos(folder, classes=3, each=4)
    for at, name in enumerate(["=cmd", "-a", "'@b"]):
        (folder / f"class_{at}").rename(folder / name)
    dataset = Dataset.open(folder)
    write_splits(draw_splits(dataset, validation=0.25, test=0, seed=0), tmp_path / "split.csv")
    read = Dataset.open(tmp_path / "split.csv")
    assert read.classes == dataset.classes
    assert {(image.path.resolve(), read.classes[image.shown[0]]) for image in read.images} == {
        (image.path.resolve(), dataset.classes[image.shown[0]]) for image in dataset.images
    }


def test_split_csv_reads_back_labels_that_look_like_formulas(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", classes=1, each=8)
    rows = [f"photos/class_0/{at:03}.png,{at % 2},{1 - at % 2}" for at in range(8)]
    (tmp_path / "given.csv").write_text("\n".join(["path,=a,-b", *rows]) + "\n")
    dataset = Dataset.open(tmp_path / "given.csv")
    write_splits(draw_splits(dataset, validation=0.25, test=0, seed=0), tmp_path / "split.csv")
    read = Dataset.open(tmp_path / "split.csv")
    assert read.classes == dataset.classes == ("-b", "=a")
    assert {(image.path.resolve(), image.annotation) for image in read.images} == {
        (image.path.resolve(), image.annotation) for image in dataset.images
    }


def test_all_csv_is_written_by_the_guarded_writer() -> None:
    source = Path(pplcnet.__file__).parent
    writing = [
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("csv.writer", "csv.DictWriter")
    ]
    assert writing == ["system/csv_cells.py"]
