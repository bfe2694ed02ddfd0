"""Class folders, alone and within folders of splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from tests.conftest import draw_image, write_photos


def test_a_folder_of_class_folders(photos: Path) -> None:
    dataset = Dataset.open(photos)
    assert dataset.classes == ("class_0", "class_1", "class_2")
    assert dataset.class_counts() == (12, 12, 12)
    assert not dataset.has_splits
    assert dataset.name_of(dataset.images[0]) == "class_0/000.png"


def test_nested_folders_upper_case_endings_and_hidden_files(photos: Path) -> None:
    (photos / "class_0" / "deep" / "er").mkdir(parents=True)
    draw_image(0, 99).save(photos / "class_0" / "deep" / "er" / "A.PNG")
    draw_image(0, 98).save(photos / "class_0" / "B.JpEg")
    (photos / "class_0" / ".hidden.png").write_bytes(b"")
    (photos / "class_0" / "notes.txt").write_text("no image")
    (photos / ".cache").mkdir()
    dataset = Dataset.open(photos)
    names = {dataset.name_of(image) for image in dataset.images}
    assert {"class_0/deep/er/A.PNG", "class_0/B.JpEg"} <= names
    assert dataset.class_counts() == (14, 12, 12)


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "VAL"])
def test_split_folders_of_class_folders(tmp_path: Path, validation: str) -> None:
    for split, count in (("train", 5), (validation, 2), ("test", 3)):
        write_photos(tmp_path / split, classes=2, each=count)
    dataset = Dataset.open(tmp_path)
    assert dataset.classes == ("class_0", "class_1")
    assert [len(dataset.subset(s)) for s in ("train", "validation", "test")] == [10, 4, 6]


def test_training_and_testing_are_split_folders(tmp_path: Path) -> None:
    for split, count in (("Training", 3), ("Testing", 2)):
        write_photos(tmp_path / split, classes=2, each=count)
    dataset = Dataset.open(tmp_path)
    assert dataset.classes == ("class_0", "class_1")
    assert [len(dataset.subset(s)) for s in ("train", "validation", "test")] == [6, 0, 4]


def test_split_folders_beside_other_folders_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", classes=2, each=2)
    write_photos(tmp_path / "leftovers", classes=1, each=2)
    with pytest.raises(DatasetError, match=r"split folders \(train\) and other folders"):
        Dataset.open(tmp_path)


def test_a_folder_around_the_class_folders_is_pointed_into(tmp_path: Path) -> None:
    inner = tmp_path / "download" / "Dataset"
    write_photos(inner)
    with pytest.raises(DatasetError, match=rf"If the class folders are those in {inner}, give"):
        Dataset.open(tmp_path / "download")
