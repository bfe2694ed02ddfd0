"""CSV files as spreadsheets, pandas and labelling tools write them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from pplcnet.tasks.multilabel.measures import marks_of
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


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (["cat|dog", "cat", "dog"], "'cat|dog' contains '|', but labels are separated by semi"),
        (['"cat,dog"', "cat", "dog"], "contains ','"),
        (['"salt, coarse"', "pepper"], "use a column for each label instead"),
        (["scab/rust", "scab", "rust"], "'scab/rust' consists of other labels"),
        (["scab rust", "scab", "rust"], "'scab rust' consists of other labels"),
        (["\"['cat', 'dog']\"", "cat"], "looks like JSON or Python code"),
        (['"{""choices"":[""cat""]}"', "cat"], "looks like JSON or Python code"),
        (['"=""001"""', "cat;dog"], "is a spreadsheet formula; write only the text"),
        (["nan", "cat;dog"], "'nan' is what pandas or a spreadsheet writes for"),
        (["Unnamed: 3", "cat;dog"], "is what pandas calls a column without a name"),
        (["cat;Cat", "dog"], "'Cat' (line 2) and 'cat' (line 2) differ only in case"),
    ],
)
def test_several_labels_in_one_name_are_refused(
    folder: Path, labels: list[str], complaint: str
) -> None:
    rows = "".join(f"{number}.png,{text}\n" for number, text in enumerate(labels))
    assert complaint in refusal(folder, f"path,labels\n{rows}")


def test_a_semicolon_file_separates_labels_by_quoted_semicolons(folder: Path) -> None:
    dataset = open_table(folder, 'path;labels\n0.png;"black cat;dog"\n1.png;dog\n2.png;\n')
    assert dataset.classes == ("black cat", "dog")
    assert marks_of(dataset.images, len(dataset.classes)).tolist() == [[1, 1], [0, 1], [0, 0]]
    assert "has 3 cells" in refusal(folder, "path;labels\n0.png;cat;dog\n")


@pytest.mark.parametrize("separator", [";", "|", "/"])
def test_several_labels_in_a_column_for_one_are_refused(folder: Path, separator: str) -> None:
    content = f"path,label\n0.png,cat{separator}dog\n1.png,cat\n2.png,dog\n"
    if separator == "/":
        assert open_table(folder, content).classes == ("cat", "cat/dog", "dog")
    else:
        assert "call the column 'labels'" in refusal(folder, content)


def test_a_class_may_be_called_like_a_number_or_a_word_for_nothing(folder: Path) -> None:
    names = ("007", "1e5", "Infinity", "None", "no", "null")
    rows = "".join(f"{number}.png,{name}\n" for number, name in enumerate(names))
    dataset = open_table(folder, f"path,label\n{rows}")
    assert dataset.classes == names
    assert dataset.task == "classification"


@pytest.mark.parametrize("missing", ["nan", "NaN", "<NA>", "#N/A", "#REF!"])
def test_a_missing_value_is_no_class(folder: Path, missing: str) -> None:
    assert "missing value" in refusal(folder, f"path,label\n0.png,{missing}\n1.png,cat\n")


def test_columns_of_true_and_false_are_labels(folder: Path) -> None:
    dataset = open_table(folder, "path,cat,dog\n0.png,True,False\n1.png,FALSE,1\n2.png,,true\n")
    assert dataset.task == "multilabel"
    assert marks_of(dataset.images, len(dataset.classes)).tolist() == [[1, 0], [0, 1], [-1, 1]]


@pytest.mark.parametrize("name", ["file_name", "Image_Path", "filepaths"])
def test_a_path_column_of_another_name_is_pointed_out(folder: Path, name: str) -> None:
    message = refusal(folder, f"id,{name},label\n1,0.png,a\n2,1.png,b\n")
    assert f"If {name!r} holds the paths, call it 'path'." in message


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
    dataset = open_table(folder, "path,label\n" + ROWS.format(","), "train.csv")
    assert len(dataset) == 4
    assert not dataset.has_splits
    assert dataset.notes == ("test.csv has no labels and is not used.",)


def test_a_validation_table_without_the_label_column_is_refused(folder: Path) -> None:
    (folder / "val.csv").write_text("path,breed\n5.png,a\n")
    assert "val.csv (validation) has a column for each label" in refusal(
        folder, "path,label\n" + ROWS.format(","), "train.csv"
    )


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
    assert "val.csv and validation.csv lie beside it" in message


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
    assert "if a photo never has several labels, call it 'label'" in dataset.notes[0]
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
    with pytest.raises(DatasetError, match=r"If .*_classes\.csv holds the labels, give that file"):
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
