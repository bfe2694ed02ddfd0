"""A CSV file with a row for each box."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.annotations import Boxes
from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits, read_splits, write_splits
from tests.data.layouts.boxes import annotation, refusal, said, write_coco, write_photo

ROWS = "a.jpg,cat,1,2,30,40.5\na.jpg,dog,5,6,7,8\nb.jpg,,,,,\n"
SAID = {"a.jpg": [("cat", 1, 2, 30, 40.5), ("dog", 5, 6, 7, 8)], "b.jpg": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write_photo(tmp_path / name)
    return tmp_path


def write_table(folder: Path, text: str, name: str = "boxes.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    "header",
    [
        "path,label,x1,y1,x2,y2",
        "Filename,class,xmin,ymin,xmax,ymax",
        "image,name,left,top,right,bottom",
    ],
)
def test_columns_have_several_names(folder: Path, header: str) -> None:
    dataset = Dataset.open(write_table(folder, f"{header}\n{ROWS}"))
    assert dataset.task == "detection"
    assert said(dataset) == SAID


def test_a_size_and_a_crowd_may_be_given(folder: Path) -> None:
    text = "filename;width;height;class;xmin;ymin;xmax;ymax;is_crowd\na.jpg;64;48;cat;1;2;3;4;1\n"
    dataset = Dataset.open(write_table(folder, text))
    assert dataset.images[0].annotation.is_crowd.tolist() == [True]
    assert "says that the photo has 640x480 pixels, but a.jpg has 64x48" in refusal(
        write_table(folder, text.replace("64;48", "640;480"))
    )


def test_splits_come_from_a_column_or_from_tables_beside_it(folder: Path) -> None:
    header = "path,label,x1,y1,x2,y2"
    text = f"{header},split\na.jpg,cat,1,2,3,4,train\nb.jpg,,,,,,val\n"
    dataset = Dataset.open(write_table(folder, text))
    assert [image.split for image in dataset.images] == ["train", "validation"]
    path = write_table(folder, f"{header}\n{ROWS}", "train.csv")
    write_table(folder, f"{header}\nc.jpg,cat,1,2,3,4\n", "val.csv")
    splits = [image.split for image in Dataset.open(path).images]
    assert splits == ["train", "train", "validation"]


def test_all_faults_come_in_one_message(folder: Path) -> None:
    message = refusal(
        write_table(
            folder,
            "path,label,x1,y1,x2,y2,split\na.jpg,cat,1,2,3,,train\na.jpg,,1,2,3,4,train\n"
            "d.jpg,cat,1,2,3,4,train\n,cat,1,2,3,4,train\nb.jpg,cat,1,2,3,4,dev\n"
            "c.jpg,cat,1,2,3,4,train\nc.jpg,cat,1,2,3,4,test\n",
        )
    )
    for sentence in (
        "line 2: the box is '1, 2, 3, '; it must be four numbers",
        "line 3: a box without a label",
        "line 4: d.jpg does not exist",
        "line 5: no path",
        "line 6: split 'dev', allowed are train, validation, test",
        "line 8: split 'test', and 'train' above for the same photo",
    ):
        assert sentence in message


def test_a_table_lacks_no_column(folder: Path) -> None:
    message = refusal(write_table(folder, "path,x1,y1,x2,y2\na.jpg,1,2,3,4\n"))
    assert (
        "has 0 columns for the label (label, class, category, class_name, name); one is" in message
    )
    text = "path,label,class,x1,y1,x2,y2\na.jpg,cat,cat,1,2,3,4\n"
    assert "has 2 columns for the label" in refusal(write_table(folder, text))


def test_a_table_of_labels_alone_is_read_as_before(folder: Path) -> None:
    text = "path,label\na.jpg,cat\nb.jpg,dog\n"
    assert Dataset.open(write_table(folder, text)).task == "classification"


def test_the_splits_of_a_run_are_read_again(folder: Path) -> None:
    names = [write_photo(folder / f"{at}.jpg").name for at in range(8)]
    boxes = [annotation(at, 7, 0.1, 1, 9, 9) for at in range(1, 7)]
    # More than fit into a cell that the csv module reads by default.
    boxes += [annotation(7, 7, at / 128, 1, 9, 9) for at in range(4500)]
    dataset = Dataset.open(write_coco(folder / "x.json", names, boxes)).with_classes(["cat"])
    splits = draw_splits(dataset, validation=0.25, test=0.25, seed=0)
    recorded = {image.path: image for part in splits[:3] for image in part.images}
    write_splits(splits, folder / "split.csv", {splits.train.images[0].path: "0" * 64})
    read = read_splits(folder / "split.csv", Boxes)
    assert {image.path: image.annotation for image in read.images} == {
        path: image.annotation for path, image in recorded.items()
    }
    again = Dataset.open(folder / "split.csv")
    assert said(again) == said(dataset)
    assert [len(again.subset(each)) for each in ("train", "validation", "test")] == [4, 2, 2]
