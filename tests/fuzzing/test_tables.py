"""Mutated tables, lists and label files are read or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.class_names import class_name, name_faults
from pplcnet.data.dataset import Dataset
from tests.fuzzing.harness import fuzz

TABLE, LIST = "input.csv", "input.txt"
# The paths name the file itself, so that whole files can be read and not only refused.
TABLES = {
    "one": f"path,label,split\n{TABLE},cat,train\n{TABLE},dog,test\n",
    "quoted": f'file,"class",note\n"{TABLE}","salt, coarse",a\n.//{TABLE},"x ""y""",\n',
    "semicolons": f'sep=;\r\nimage;labels\r\n{TABLE};"cat;dog"\r\n{TABLE};\r\n',
    "columns": f",path,cat,dog\n0,{TABLE},1,False\n1,{TABLE},-1,True\n",
    "tabs": f"filename\tcategory\n{TABLE}\tcaf\u00e9\n.\\{TABLE}\tcafe\u0301\n",
}
LISTS = {
    "spaces": f"{LIST} 0\n.//{LIST} 1\n",
    "tabs": f"\ufeff{LIST}\t1\r\nno such.png\t0\r\n",
}
LABELS = {"names": "rose\nbell\n", "ids": "1 bell\n0 rose\n", "gaps": "7:bell\n\n3:rose\n"}


def _check(dataset: Dataset) -> None:
    """What every data set that was read must be."""
    names = dataset.classes
    assert len(set(names)) == len(names) >= 2
    assert [class_name(name) for name in names] == list(names)
    assert name_faults(names) == []
    for image in dataset.images:
        assert image.path.is_file()
        cells = [str(each) for each in image.annotation.cells(names)]
        assert type(image.annotation).from_cells(cells, names) == image.annotation


def read_table(path: Path) -> None:
    _check(Dataset.open(path))


def read_list(path: Path) -> None:
    _check(Dataset.open(path))


def read_labels(path: Path) -> None:
    _check(Dataset.from_list_file(path.with_name("list.txt"), path))


def _seeds(texts: dict[str, str]) -> dict[str, bytes]:
    marked = {f"{name}-16": text.encode("utf-16") for name, text in texts.items()}
    return marked | {name: text.encode() for name, text in texts.items()}


TOKENS = [b'"', b'""', b"\r\n", b";", b"\t", b"|", b"labels", b"label", b"path", b"split", b"train",
          b"\xff\xfe", b"\xef\xbb\xbf", b"sep=", b"\xcc\x81", b"\xc2\xa0", b"://", b"\\", b"../",
          b"nan", b"-1", b"99999999999", b"\xed\xa0\x80", b"\xe2\x80\xa8"]  # fmt: skip


@pytest.mark.slow
def test_mutated_tables_are_read_or_refused(tmp_path: Path) -> None:
    fuzz(read_table, _seeds(TABLES), tmp_path, suffix=".csv", tokens=TOKENS)


@pytest.mark.slow
def test_mutated_lists_are_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(LABELS["gaps"].replace("7", "1").replace("3", "0"))
    fuzz(read_list, _seeds(LISTS), tmp_path, suffix=".txt", tokens=TOKENS)


@pytest.mark.slow
def test_mutated_label_files_are_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("list.txt 0\nlist.txt 1\n")
    fuzz(read_labels, _seeds(LABELS), tmp_path, suffix=".txt", tokens=TOKENS)
