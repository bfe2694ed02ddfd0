"""Which columns of a table are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.layouts.tables import open_table, refusal

ROWS = "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(4))


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("path,label,Label ", "2 columns for the label ('label', 'Label')"),
        ("path,label,category", "2 columns for the label ('label', 'category')"),
        ("path,Image,label", "2 columns for the photo's path ('path', 'Image')"),
        ("path,labels,labels", "2 columns for the labels"),
        ("path,label,split,Split", "2 columns for the split"),
    ],
)
def test_a_column_that_is_there_twice_is_refused(folder: Path, header: str, complaint: str) -> None:
    row = ",".join("1.png" for _ in header.split(","))
    assert complaint in refusal(folder, f"{header}\n{row}\n")


def test_other_columns_may_repeat_and_are_left_alone(folder: Path) -> None:
    dataset = open_table(folder, "path,note,label,note\n0.png,x,a,y\n1.png,,b,\n")
    assert dataset.classes == ("a", "b")


@pytest.mark.parametrize("name", ["file_name", "Image_Path", "filepaths"])
def test_a_path_column_of_another_name_is_pointed_out(folder: Path, name: str) -> None:
    message = refusal(folder, f"id,{name},label\n1,0.png,a\n2,1.png,b\n")
    assert f"If {name!r} holds the paths, call it 'path'." in message


@pytest.mark.parametrize(
    "test",
    [
        "path\n5.png\n",
        "id\n1\n2\n",
        "filename,width,height\nunseen/1.png,4,5\n",
        "Id,Camera\n7,x\n",
    ],
)
def test_a_test_table_without_labels_makes_no_split(folder: Path, test: str) -> None:
    (folder / "test.csv").write_text(test)
    dataset = open_table(folder, "path,label\n" + ROWS, "train.csv")
    assert len(dataset) == 4
    assert not dataset.has_splits
    assert dataset.notes == ("test.csv has no labels and is not used.",)


def test_a_validation_table_without_the_label_column_is_refused(folder: Path) -> None:
    (folder / "val.csv").write_text("path,breed\n5.png,a\n")
    assert "val.csv (validation) has a column for each label" in refusal(
        folder, "path,label\n" + ROWS, "train.csv"
    )
