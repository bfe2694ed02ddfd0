"""Tables of one label per image, of several, and of several splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from pplcnet.tasks.multilabel.measures import marks_of
from tests.data.layouts.tables import open_table, refusal

ROWS = "".join(f"{n}.png{{0}}{'ab'[n % 2]}\n" for n in range(4))


@pytest.mark.parametrize("name", ["set", "data set", "subset"])
def test_a_split_column_of_another_name_is_not_passed_over(folder: Path, name: str) -> None:
    message = refusal(folder, f"path,label,{name}\n0.png,a,train\n1.png,b,valid\n2.png,a,test\n")
    assert f"column {name!r} holds test, train, valid: call it 'split'" in message


@pytest.mark.parametrize("name", ["is_valid", "Test", "validation"])
def test_a_column_of_split_flags_is_not_passed_over(folder: Path, name: str) -> None:
    message = refusal(folder, f"path,label,{name}\n0.png,a,True\n1.png,b,0\n")
    assert f"column {name!r} is not read: write the splits to a column 'split'" in message


def test_a_column_a_label_may_be_called_train_but_not_is_train(folder: Path) -> None:
    rows = "0.png,1,0\n1.png,0,1\n"
    assert open_table(folder, f"path,train,bus\n{rows}").classes == ("bus", "train")
    assert "column 'is_train' is not read" in refusal(folder, f"path,is_train,bus\n{rows}")


def test_an_empty_column_of_any_name_is_left_alone(folder: Path) -> None:
    assert open_table(folder, "path,label,test\n0.png,a,\n1.png,b,\n").classes == ("a", "b")


def test_a_thousand_faults_are_shown_and_all_are_kept(folder: Path) -> None:
    rows = "".join(f"no such {number}.png,a\n" for number in range(1500))
    with pytest.raises(DatasetError) as caught:
        open_table(folder, f"path,label\n{rows}")
    assert len(caught.value.faults) == 1500
    assert str(caught.value).endswith("line 1001: no such 999.png does not exist\n  and 500 more")


def test_columns_of_true_and_false_are_labels(folder: Path) -> None:
    dataset = open_table(folder, "path,cat,dog\n0.png,True,False\n1.png,FALSE,1\n2.png,,true\n")
    assert dataset.task == "multilabel"
    assert marks_of(dataset.images, len(dataset.classes)).tolist() == [[1, 0], [0, 1], [-1, 1]]


def test_a_labelling_tool_s_own_columns_are_named(folder: Path) -> None:
    message = refusal(folder, "image,id,choice\nhttps://host.example/0.png,7,cat\n")
    assert "If it holds the name of the class, call it 'label'" in message
    assert "line 2: https://host.example/0.png is a URL; download the photos" in message


def test_tables_of_the_other_splits_are_read_with_the_training_table(folder: Path) -> None:
    (folder / "Val.csv").write_text("image;class\n4.png;b\n6.png;a\n")
    (folder / "Test.csv").write_text("path,label\n5.png,a\n")
    dataset = open_table(folder, "path,label\n" + ROWS.format(","), "Train.csv")
    assert [(i.path.name, i.shown[0], i.split) for i in dataset.images[3:]] == [
        ("3.png", 1, "train"), ("4.png", 1, "validation"), ("6.png", 0, "validation"),
        ("5.png", 0, "test"),
    ]  # fmt: skip
    alone = Dataset.open(folder / "Val.csv")
    assert len(alone) == 2
    assert not alone.has_splits


def test_tables_of_several_labels_are_put_together_by_name(folder: Path) -> None:
    (folder / "val.csv").write_text("path,b,a\n4.png,1,0\n")
    dataset = open_table(folder, "path,a,b\n0.png,1,0\n1.png,0,1\n", "train.csv")
    assert marks_of(dataset.images, len(dataset.classes)).tolist() == [[1, 0], [0, 1], [0, 1]]
    (folder / "val.csv").write_text("path,labels\n4.png,b\n")
    dataset = open_table(folder, "path,labels\n0.png,a;c\n1.png,\n", "train.csv")
    assert dataset.classes == ("a", "b", "c")
    assert marks_of(dataset.images, len(dataset.classes)).tolist() == [
        [1, 0, 1],
        [0, 0, 0],
        [0, 1, 0],
    ]


@pytest.mark.parametrize(
    ("beside", "complaint"),
    [
        ("path,labels\n4.png,a\n", "val.csv (validation) has a column 'labels'"),
        ("path,a,b\n4.png,1,0\n", "has a column for each label. Give both the same form"),
        ("path,label\n9.png,a\n", "val.csv line 2: 9.png does not exist"),
        ("path,label\n4.png,a,b\n", "val.csv line 2: has 3 cells"),
        ("name,tag\n4.png,a\n", "val.csv: its columns are name, tag"),
    ],
)
def test_a_table_beside_that_does_not_fit_is_an_error(
    folder: Path, beside: str, complaint: str
) -> None:
    (folder / "val.csv").write_text(beside)
    assert complaint in refusal(folder, "path,label\n" + ROWS.format(","), "train.csv")


def test_two_tables_for_one_split_are_refused(folder: Path) -> None:
    for name in ("val.csv", "validation.csv"):
        (folder / name).write_text("path,label\n4.png,a\n")
    message = refusal(folder, "path,label\n" + ROWS.format(","), "train.csv")
    assert "val.csv and validation.csv are next to it" in message


def test_what_is_not_read_beside_a_training_table_is_said(folder: Path) -> None:
    (folder / "val.csv").write_text("path,label\n")
    (folder / "dev_set.csv").write_text("path,label\n4.png,a\n")
    (folder / "notes.csv").write_text("nothing\n")
    dataset = open_table(folder, "path,label\n" + ROWS.format(","), "train.csv")
    assert dataset.notes == (
        "val.csv lists no photos.",
        "dev_set.csv beside train.csv is not read: name the lists of other splits like "
        "the training list, with val or test instead of train.",
    )
    assert not dataset.has_splits
    assert open_table(folder, "path,label\n" + ROWS.format(","), "all.csv").notes == ()


def test_one_label_on_every_line_of_several_is_said(folder: Path) -> None:
    dataset = open_table(folder, "path,labels\n0.png,a\n1.png,b\n")
    assert dataset.task == "multilabel"
    assert "if no photo ever has several labels, call it 'label'" in dataset.notes[0]
    assert open_table(folder, "path,labels\n0.png,a;b\n1.png,b\n").notes == ()


def test_tables_in_split_folders_belong_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        for name in ("0.png", "1.png"):
            (tmp_path / split / name).touch()
        table = "filename, cat, dog\n0.png, 1, 0\n1.png, 0, 1\n"
        (tmp_path / split / "_classes.csv").write_text(table)
    with pytest.raises(
        DatasetError, match=r"If .*_classes\.csv contains the labels, give that file"
    ):
        Dataset.open(tmp_path)
    for place in ("train/_classes.csv", tmp_path / "train" / "_classes.csv"):
        monkeypatch.chdir(tmp_path)
        dataset = Dataset.open(place)
        assert [dataset.name_of(image) for image in dataset.images] == [
            f"{split}/{n}.png" for split in ("train", "valid", "test") for n in (0, 1)
        ]
        assert len(dataset.subset("validation")) == len(dataset.subset("test")) == 2
    (tmp_path / "valid" / "_classes.csv").write_text("filename,cat,dog\n9.png,1,0\n")
    with pytest.raises(DatasetError, match=r"valid/_classes\.csv line 2: 9\.png does not exist"):
        Dataset.open(tmp_path / "train" / "_classes.csv")


def test_a_csv_file(photos: Path) -> None:
    table = photos / "table.csv"
    rows = [f"class_{n % 2}/00{n}.png,{'cat' if n % 2 else 'dog'},{'val' if n > 5 else 'train'}"
            for n in range(8)]  # fmt: skip
    table.write_text("\ufeffFile,Label,Split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    dataset = Dataset.open(table)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.subset("train")) == 6
    assert len(dataset.subset("validation")) == 2
    assert all(image.path.is_file() for image in dataset.images)


@pytest.mark.parametrize(
    ("content", "complaints"),
    [
        ("name,tag\na,b\n", ["its columns are name, tag", "path column"]),
        ("", ["its columns are none"]),
        ("path,label\nclass_0/000.png,\nnone.png,a\n,b\n",
         ["3 faults", "line 2: no usable label", "none.png does not exist",
          "line 4: no path"]),
        ("path,label,split\nclass_0/000.png,a,dev\n", ["split 'dev'", "allowed are train"]),
        ("path,label\nclass_0/000.png,a\nclass_0/001.png,a\n", ["one class only"]),
    ],
    ids=["no columns", "empty", "bad lines", "bad split", "one class"],
)  # fmt: skip
def test_a_wrong_csv_says_everything_at_once(
    photos: Path, content: str, complaints: list[str]
) -> None:
    message = refusal(photos, content)
    for complaint in complaints:
        assert complaint in message


def test_names_between_semicolons_and_a_column_per_label_say_the_same(folder: Path) -> None:
    named = open_table(folder, "path,labels\n0.png,b; a\n1.png,\n2.png,a;a\n")
    columns = open_table(folder, "path,b,a\n0.png,1,1\n1.png,0,0.0\n2.png,0,1\n")
    assert named.task == columns.task == "multilabel"
    assert named.classes == columns.classes == ("a", "b")
    assert (
        marks_of(named.images, 2).tolist()
        == marks_of(columns.images, 2).tolist()
        == [[1, 1], [0, 0], [1, 0]]
    )
    assert named.class_counts() == (2, 1)


def test_empty_and_minus_one_are_unknown(folder: Path) -> None:
    dataset = open_table(folder, "path,a,b,split\n0.png,,1,train\n1.png,-1,0,test\n")
    assert marks_of(dataset.images, len(dataset.classes)).tolist() == [[-1, 1], [-1, 0]]
    assert [image.split for image in dataset.images] == ["train", "test"]


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("path,a,by\n0.png,1,Ann\n1.png,2,Bob\nno.png,0,\n",
         ["3 faults", "column 'by' holds 'Ann' on line 2 and on 1 more", "'a' holds '2' on line 3",
          "1 (on the photo), 0 (not on it)", "no.png does not exist"]),
        ("path,label,labels\n0.png,a,b\n", ["leave out the one that is not meant"]),
        ("path,labels\n0.png,a\n", ["1 label in"]),
        ("path,labels\n0.png,a;Split\n", ["no label can be called Split"]),
        ("path,a,a \n0.png,1,1\n", ["several columns named a"]),
    ],
    ids=["values and photo", "both columns", "one label", "reserved name", "twice"],
)  # fmt: skip
def test_a_wrong_table_of_several_labels_says_what_is_wrong(
    folder: Path, text: str, complaints: list[str]
) -> None:
    with pytest.raises(DatasetError) as caught:
        open_table(folder, text)
    for complaint in complaints:
        assert complaint in str(caught.value)
