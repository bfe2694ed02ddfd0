"""Lists and label files of PaddleClas and PaddleX, in every order and with every slip."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError


def _list(rose: object = 0, bell: object = 1, numbers: tuple[int, ...] = (0, 1)) -> str:
    return "".join(f"images/rose/{n}.png {rose}\nimages/bell/{n}.png {bell}\n" for n in numbers)


def _names(dataset: Dataset) -> set[tuple[str, str]]:
    """Folder of every photo, and the class that it was given."""
    return {(image.path.parent.name, dataset.classes[image.shown[0]]) for image in dataset.images}


RIGHT = {("rose", "rose"), ("bell", "bell")}


@pytest.mark.parametrize(
    ("labels", "rose", "bell"),
    [
        ("rose\nbell\n", 0, 1),
        ("0 rose\n1 bell\n", 0, 1),
        ("1 bell\n0 rose\n", 0, 1),
        ("1 rose\n2 bell\n", 1, 2),
        ("2 bell\n1 rose\n", 1, 2),
        ("45 bell\n\n7 rose\n", 7, 45),
        ("1\tbell\n0\trose\n", 0, 1),
        ("1: bell\n0: rose\n", 0, 1),
        ("1,bell\n0,rose\n", 0, 1),
        ("\ufeff01 bell\r\n00 rose\r\n", 0, "1"),
    ],
)
def test_ids_of_the_label_file_are_honoured(
    flowers: Path, labels: str, rose: object, bell: object
) -> None:
    (flowers / "labels.txt").write_text(labels, encoding="utf-8")
    (flowers / "all.txt").write_text(_list(rose, bell))
    dataset = Dataset.open(flowers / "all.txt")
    assert dataset.classes == ("rose", "bell")
    assert _names(dataset) == RIGHT


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ("0 rose\n0 bell\n", "line 2: id 0 is 'bell' here and 'rose' above"),
        ("crane\nrose\ncrane\n", "'crane' is the name of 2 classes (lines 1, 3)"),
        ("0 rose\n1 rose\n", "'rose' is the name of 2 classes (lines 1, 2)"),
        ("0 rose\nbell\n", "1 of 2 lines begin with an id, and line 2 does not"),
        ("0 rose\n1 \n2 bell\n", "2 of 3 lines begin with an id, and line 2 does not"),
        ("rose\n\nbell\n", "line 2: empty, so that the ids of the names below are not certain"),
        ("bell 1\nrose 0\n", "end with numbers that are not in order"),
        ("# classes\nrose\nbell\n", "line 1: begins with #, and a comment would shift the ids"),
        ("rose\nRose\n", "classes 'Rose' and 'rose' differ only in case"),
        ("9999999999999 rose\n0 bell\n", "is too large"),
        ("", "empty; it has to name the classes"),
    ],
)
def test_a_label_file_that_leaves_the_ids_uncertain_is_refused(
    flowers: Path, labels: str, complaint: str
) -> None:
    (flowers / "labels.txt").write_text(labels)
    (flowers / "all.txt").write_text(_list())
    with pytest.raises(DatasetError) as caught:
        Dataset.open(flowers / "all.txt")
    assert complaint in str(caught.value)
    assert "labels.txt" in str(caught.value)


@pytest.mark.parametrize("labels", ["level 1\nlevel 2\n", "cola\n7 up\nlemon\n", "1\n2\n"])
def test_names_with_numbers_are_names(flowers: Path, labels: str) -> None:
    (flowers / "labels.txt").write_text(labels)
    (flowers / "all.txt").write_text(_list())
    assert list(Dataset.open(flowers / "all.txt").classes) == labels.split("\n")[:-1]


def test_an_id_that_the_label_file_lacks_is_named(flowers: Path) -> None:
    (flowers / "labels.txt").write_text("1 rose\n2 bell\n")
    (flowers / "all.txt").write_text("images/rose/0.png 0\nimages/rose/1.png 1\n")
    with pytest.raises(
        DatasetError, match=r"1 fault:\s+all.txt line 1 .label '0', allowed are 1, 2"
    ):
        Dataset.open(flowers / "all.txt")


@pytest.mark.parametrize("separator", [" ", "\t", "   ", " \t "])
def test_the_id_is_what_stands_behind_the_last_space_or_tab(flowers: Path, separator: str) -> None:
    (flowers / "a b  c.png").touch()
    (flowers / "labels.txt").write_text("rose\nbell\n")
    (flowers / "all.txt").write_text(f"a b  c.png{separator}1\nimages/rose/0.png{separator}0\n")
    dataset = Dataset.open(flowers / "all.txt")
    assert [(image.path.name, image.shown[0]) for image in dataset.images] == [
        ("a b  c.png", 1), ("0.png", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line", ["images/rose/0.png", "images/rose/0.png,0", "images/rose/0.png;0"]
)
def test_a_line_without_an_id_says_what_a_line_is(flowers: Path, line: str) -> None:
    (flowers / "labels.txt").write_text("rose\nbell\n")
    (flowers / "all.txt").write_text(f"{line}\n")
    with pytest.raises(DatasetError, match="has no label id; a line is a path, a space or tab"):
        Dataset.open(flowers / "all.txt")


@pytest.mark.parametrize("id_", ["0,1", "-1", "1.0", "rose", "\u0661", "1" * 5000])
def test_an_id_is_a_whole_number(flowers: Path, id_: str) -> None:
    (flowers / "labels.txt").write_text("rose\nbell\n")
    (flowers / "all.txt").write_text(f"images/rose/0.png {id_}\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="allowed are 0 to 1") as caught:
        Dataset.open(flowers / "all.txt")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("training", "others", "labels"),
    [
        ("train.txt", {"val.txt": "validation", "test.txt": "test"}, "label.txt"),
        ("train_list.txt", {"val_list.txt": "validation"}, "labels.txt"),
        ("train_list.txt", {"valid_list.txt": "validation"}, "label_list.txt"),
        ("flowers_train.txt", {"flowers_test.txt": "test"}, "classes.txt"),
        ("Train.txt", {"Validation.txt": "validation"}, "labels.txt"),
    ],
)
def test_lists_of_the_other_splits_are_read_with_the_training_list(
    flowers: Path, training: str, others: dict[str, str], labels: str
) -> None:
    (flowers / labels).write_text("1 bell\n0 rose\n")
    (flowers / training).write_text(_list())
    for number, name in enumerate(others):
        (flowers / name).write_text(_list(numbers=(2 + number,)))
    dataset = Dataset.open(flowers / training)
    assert _names(dataset) == RIGHT
    assert len(dataset.subset("train")) == 4
    for split in others.values():
        assert len(dataset.subset(split)) == 2


def test_a_list_of_another_split_is_read_alone(flowers: Path) -> None:
    (flowers / "label.txt").write_text("0 rose\n1 bell\n")
    (flowers / "train.txt").write_text(_list())
    (flowers / "val.txt").write_text(_list(numbers=(2,)))
    dataset = Dataset.open(flowers / "val.txt")
    assert len(dataset) == 2
    assert not dataset.has_splits


def test_a_folder_with_a_training_list_is_read_by_it(flowers: Path) -> None:
    (flowers / "label.txt").write_text("0 rose\n1 bell\n")
    (flowers / "train.txt").write_text(_list())
    (flowers / "val.txt").write_text(_list(numbers=(2,)))
    dataset = Dataset.open(flowers)
    assert _names(dataset) == RIGHT
    assert (len(dataset.subset("train")), len(dataset.subset("validation"))) == (4, 2)
    assert dataset.notes == ("the photos are those listed in train.txt; folder names are ignored.",)
    assert len(Dataset.open(flowers / "images")) == 8
    (flowers / "train.txt").write_text("images/rose/0.png\n")
    with pytest.raises(DatasetError, match=r"read instead of class folders[^$]*no label id"):
        Dataset.open(flowers)


def test_a_stray_list_does_not_hide_class_folders(flowers: Path) -> None:
    (flowers / "images" / "train.txt").write_text("notes\n")
    assert Dataset.open(flowers / "images").classes == ("bell", "rose")


def test_label_files_that_disagree_are_refused(flowers: Path) -> None:
    (flowers / "all.txt").write_text(_list())
    (flowers / "labels.txt").write_text("rose\nbell\n")
    (flowers / "label.txt").write_text("0 rose\n1 bell\n")
    assert Dataset.open(flowers / "all.txt").classes == ("rose", "bell")
    (flowers / "label.txt").write_text("1 rose\n0 bell\n")
    with pytest.raises(DatasetError, match=r"labels.txt and label.txt beside it name different"):
        Dataset.open(flowers / "all.txt")


def test_chinese_text_that_is_not_utf_8_is_refused(flowers: Path) -> None:
    (flowers / "all.txt").write_text(_list())
    (flowers / "label.txt").write_bytes("0 \u73ab\u7470\n1 \u949f\u82b1\n".encode("gbk"))
    with pytest.raises(DatasetError, match=r"label.txt: line 1 is not UTF-8 .* iconv -f GBK"):
        Dataset.open(flowers / "all.txt")


def test_several_ids_on_a_line_point_to_a_table(flowers: Path) -> None:
    (flowers / "labels.txt").write_text("rose\nbell\n")
    (flowers / "all.txt").write_text("images/rose/0.png 0,1\n")
    with pytest.raises(DatasetError, match="lists have one label per photo; use a CSV for several"):
        Dataset.open(flowers / "all.txt")


def test_what_is_not_read_beside_a_training_list_is_said(flowers: Path) -> None:
    (flowers / "label.txt").write_text("rose\nbell\n")
    (flowers / "train.txt").write_text(_list())
    (flowers / "val_list.txt").write_text(_list(numbers=(2,)))
    (flowers / "test.txt").write_text("\n")
    dataset = Dataset.open(flowers / "train.txt")
    assert [note.split(":")[0] for note in dataset.notes] == [
        "val_list.txt beside train.txt is not read",
        "test.txt lists no photos.",
    ]


def test_lists_in_split_folders_belong_together(flowers: Path) -> None:
    for split in ("train", "val"):
        (flowers / "images" / split).mkdir()
        (flowers / "images" / split / "list.txt").write_text("../rose/0.png 0\n../bell/0.png 1\n")
        (flowers / "images" / split / "labels.txt").write_text("rose\nbell\n")
    dataset = Dataset.open(flowers / "images" / "train" / "list.txt")
    assert _names(dataset) == RIGHT
    assert len(dataset.subset("validation")) == 2
    (flowers / "images" / "val" / "labels.txt").write_text("bell\nrose\n")
    with pytest.raises(DatasetError, match=r"label file of val/list.txt .* names other classes"):
        Dataset.open(flowers / "images" / "train" / "list.txt")


def test_a_label_file_of_spaces_takes_no_time(flowers: Path) -> None:
    (flowers / "labels.txt").write_text(f"a{' ' * 200_000}b 1 x\nbell\n")
    (flowers / "all.txt").write_text(_list())
    with pytest.raises(DatasetError, match="at most 200 are allowed"):
        Dataset.open(flowers / "all.txt")


@pytest.mark.parametrize("content", ["images/rose/3.png\nimages/a b.png\n", "\n"])
def test_a_test_list_without_ids_makes_no_split(flowers: Path, content: str) -> None:
    (flowers / "label.txt").write_text("rose\nbell\n")
    (flowers / "train.txt").write_text(_list())
    (flowers / "test.txt").write_text(content)
    dataset = Dataset.open(flowers / "train.txt")
    assert len(dataset) == 4
    assert not dataset.has_splits
    assert len(dataset.notes) == 1
    assert dataset.notes[0].startswith("test.txt ")
    (flowers / "test.txt").write_text(f"{content}images/rose/3.png 0\n")
    if content.strip():
        with pytest.raises(DatasetError, match=r"test.txt line 1: .* has no label id"):
            Dataset.open(flowers / "train.txt")


def test_the_label_file_can_be_given(flowers: Path) -> None:
    (flowers / "all.txt").write_text(_list())
    (flowers / "names.txt").write_text("rose\nbell\n")
    assert _names(Dataset.from_list_file(flowers / "all.txt", flowers / "names.txt")) == RIGHT


def test_a_list_without_a_label_file_is_refused(flowers: Path) -> None:
    (flowers / "all.txt").write_text(_list())
    with pytest.raises(DatasetError, match=r"no label file; put one of labels\.txt"):
        Dataset.open(flowers / "all.txt")
