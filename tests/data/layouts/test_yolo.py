"""YOLO's text files: data.yaml, label files and their faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from tests.data.layouts.boxes import refusal, said, write_photo

YAML = "train: images/train\nval: images/val\nnames: [cat, dog]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        write_photo(tmp_path / "images" / split / f"{split}.jpg")
        labels = tmp_path / "labels" / split
        labels.mkdir(parents=True)
        (labels / f"{split}.txt").write_text("1 0.5 0.25 0.5 0.5\n0 0.25 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text(YAML)
    return tmp_path


def test_boxes_come_in_pixels(folder: Path) -> None:
    for given in (folder, folder / "data.yaml"):
        dataset = Dataset.open(given)
        assert dataset.classes == ("cat", "dog")
        boxes = [("dog", 16, 0, 48, 24), ("cat", 8, 12, 24, 36)]
        assert said(dataset) == {"train.jpg": boxes, "val.jpg": boxes}
        assert [image.split for image in dataset.images] == ["train", "validation"]


def test_a_photo_without_a_label_file_shows_no_object_and_is_named(folder: Path) -> None:
    write_photo(folder / "images" / "train" / "empty.jpg")
    (folder / "labels" / "train" / "empty.txt").write_text("\n")
    write_photo(folder / "images" / "train" / "none.jpg")
    dataset = Dataset.open(folder)
    assert said(dataset)["empty.jpg"] == said(dataset)["none.jpg"] == []
    assert dataset.notes == ("1 photo has no label file and therefore no boxes: none.jpg.",)


def test_a_polygon_gives_its_bounding_box(folder: Path) -> None:
    (folder / "labels/train/train.txt").write_text("0 0.25 0.5 0.5 0.75 0.375 0.25\n")
    dataset = Dataset.open(folder)
    assert said(dataset)["train.jpg"] == [("cat", 16, 12, 32, 36)]
    assert dataset.notes == ("1 line holds the corners of a polygon; its bounding box was taken.",)


@pytest.mark.parametrize(
    "yaml",
    [
        "path: ../elsewhere\ntrain: ../images/train\nval: [images/val]\nnames: {0: cat, 1: dog}",
        "train: train.txt\nval: images/val\nnc: 2\nnames:\n- cat\n- dog\n",
    ],
)
def test_other_ways_to_write_the_same(folder: Path, yaml: str) -> None:
    (folder / "train.txt").write_text("./images/train/train.jpg\n")
    (folder / "data.yaml").write_text(yaml)
    assert set(said(Dataset.open(folder))) == {"train.jpg", "val.jpg"}


def test_a_folder_with_a_file_of_classes_is_one_part(tmp_path: Path) -> None:
    write_photo(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("1.0 0.5 0.5 1 1")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    dataset = Dataset.open(tmp_path)
    assert said(dataset) == {"a.jpg": [("dog", 0, 0, 64, 48)]}
    assert dataset.images[0].split is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("2 0.5 0.5 0.1 0.1", "train.txt line 1: class '2'; allowed are 0 to 1"),
        ("cat 0.5 0.5 0.1 0.1", "class 'cat'; allowed are 0 to 1"),
        ("0 0.5 0.5 0.1", "is not a class and four numbers"),
        ("0 0.5 0.5 0.1 x", "is not a class and four numbers"),
        ("0 0.5 0.5 0.1 nan", "is not a class and four numbers"),
        ("0 0.5 0.5 0.1 0.1 0.9", "is not a class and four numbers"),
        ("0 32 24 10 10", "has values above 1, which look like pixels; divide x and width"),
    ],
)
def test_a_line_that_is_no_box_is_refused(folder: Path, line: str, complaint: str) -> None:
    (folder / "labels/train/train.txt").write_text(line)
    assert complaint in refusal(folder)


BOMB = [(at, f"b{at - 1}" if at else "a") for at in range(31)]
"""Each of them repeats the one before."""


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("train: images/train", "it has no 'names'"),
        ("names: [cat]\n", "names no train or val with photos"),
        ("train: images/nowhere\nnames: [cat]", "train is 'images/nowhere', which is no folder"),
        (
            "train: images/train\nnames: {1: cat, 2: dog}",
            "the keys of names are 1, 2; they must",
        ),
        ("train: images/train\nnc: 3\nnames: [cat, dog]", "nc is 3, and 2 classes are named"),
        ("train: images/train\nnames: cat", "names must be a list"),
        ("names: !!python/object:os.system [cat]", "asks for a value of the type"),
        ("a: {b: [", "it is not YAML"),
        (
            "a: &a [x, x, x, x]\n"
            + "".join(f"{i}: &b{i} [{', '.join([f'*{n}'] * 4)}]\n" for i, n in BOMB)
            + "nc: *b30\nnames: [cat]",
            "what its aliases repeat",
        ),
        ("train: images/train\nnames: [cat, Cat]", "differ only in case"),
    ],
)
def test_a_yaml_file_that_cannot_be_used_is_refused(
    folder: Path, yaml: str, complaint: str
) -> None:
    (folder / "data.yaml").write_text(yaml)
    assert complaint in refusal(folder / "data.yaml")


@pytest.mark.parametrize(
    ("said_of", "box"), [("upright", (24, 0, 48, 16)), ("stored", (0, 0, 12, 32))]
)
def test_the_file_may_say_which_way_round_photos_were_drawn_on(
    folder: Path, said_of: str, box: tuple[float, ...]
) -> None:
    photo = folder / "images" / "train" / "train.jpg"
    write_photo(photo, (64, 48), 6)  # stored 64x48, upright 48x64: right of the stored is below
    (folder / "labels/train/train.txt").write_text("0 0.75 0.125 0.5 0.25\n")
    if said_of == "stored":
        (folder / "labels/train/train.txt").write_text("0 0.25 0.875 0.5 0.25\n")
    (folder / "data.yaml").write_text(f"{YAML}boxes_drawn_on: {said_of}\n")
    dataset = Dataset.open(folder)
    assert said(dataset)["train.jpg"] == [("cat", *box)]
    assert any("the boxes were read as boxes_drawn_on says: train.jpg" in n for n in dataset.notes)
    (folder / "data.yaml").write_text(f"{YAML}boxes_drawn_on: sideways\n")
    assert "boxes_drawn_on is 'sideways'; allowed are upright" in refusal(folder)


def test_a_folder_without_names_of_classes_is_refused(folder: Path) -> None:
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnc: 2\n")
    assert "data.yaml: not a YOLO data set file: it has no 'names'" in refusal(folder)


def test_class_folders_may_hold_files_of_other_programs(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_photo(tmp_path / name / f"{name}.jpg")
    (tmp_path / "data.yaml").write_text("author: me\n")
    (tmp_path / "train.json").write_text('{"epochs": 3}')
    (tmp_path / "about.xml").write_text("<about/>")
    assert Dataset.open(tmp_path).task == "classification"
