"""Photos of a gallery come in class folders, or with one class for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.errors import DatasetError
from pplcnet.gallery.class_photos import find_class_photos, short_digest
from tests.conftest import write_photos


def test_folders_name_the_classes(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 2, 2)
    (photos / "class_1" / "deep").mkdir()
    (photos / "class_1" / "001.png").rename(photos / "class_1" / "deep" / "1.png")
    (photos / "notes.txt").write_text("")
    found, notes = find_class_photos(photos)
    assert [(each.label, each.name) for each in found] == [
        ("class_0", "class_0/000.png"),
        ("class_0", "class_0/001.png"),
        ("class_1", "class_1/000.png"),
        ("class_1", "class_1/deep/1.png"),
    ]
    assert all(each.path.is_file() for each in found)
    assert notes == []


def test_a_single_class_folder_is_enough(tmp_path: Path) -> None:
    found, _ = find_class_photos(write_photos(tmp_path / "photos", 1, 2))
    assert {each.label for each in found} == {"class_0"}


def test_one_class_for_every_photo(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 2, 1)
    found, _ = find_class_photos(photos, " rose ")
    assert {each.label for each in found} == {"rose"}
    assert [each.name for each in found] == ["rose/class_0/000.png", "rose/class_1/000.png"]


def test_what_has_no_classes_says_what_to_do(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 1, 1)
    with pytest.raises(DatasetError, match="no such folder"):
        find_class_photos(tmp_path / "none")
    with pytest.raises(DatasetError, match=r"no class folders; put the photos .* --class NAME"):
        find_class_photos(photos / "class_0")
    (tmp_path / "empty" / "rose").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no photos in it"):
        find_class_photos(tmp_path / "empty")
    with pytest.raises(DatasetError, match="need other names"):
        find_class_photos(photos, "")
    (tmp_path / "splits").mkdir()
    photos.rename(tmp_path / "splits" / "train")
    with pytest.raises(DatasetError, match=r"its folders are splits .train.*give one of them"):
        find_class_photos(tmp_path / "splits")


def test_a_digest_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert short_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223"
