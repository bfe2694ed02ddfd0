"""Ids of photos and classes for COCO's results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.data.coco_names import plain_names, read_coco_names
from pplcnet.errors import DatasetError

CATEGORIES = [{"id": 5, "name": "dog"}, {"id": 90, "name": " cat "}]


def _file(folder: Path, content: object) -> Path:
    (folder / "ids.json").write_text(json.dumps(content))
    return folder / "ids.json"


def test_classes_are_found_by_name_and_photos_by_file_name(tmp_path: Path) -> None:
    images = [{"id": 3, "file_name": "a.jpg"}, {"id": 9, "file_name": "val/b.jpg"}]
    file = _file(tmp_path, {"images": images, "categories": CATEGORIES})
    names = read_coco_names(file, ("cat", "dog"))
    assert names.categories == (90, 5)
    assert names.image_id("/photos/a.jpg") == 3
    assert names.image_id("b.jpg") == 9
    assert names.image_id("c.jpg") is None


def test_of_photos_of_one_name_the_folder_decides(tmp_path: Path) -> None:
    images = [{"id": at, "file_name": f"{place}/a.jpg"} for at, place in enumerate(("x", "y"))]
    file = _file(tmp_path, {"images": images, "categories": CATEGORIES})
    names = read_coco_names(file, ("cat",))
    assert names.image_id("photos/y/a.jpg") == 1
    assert names.image_id("photos/z/a.jpg") is None


def test_without_a_file_the_name_is_the_id_and_classes_count_from_one() -> None:
    names = plain_names(("cat", "dog"))
    assert names.categories == (1, 2)
    assert names.image_id("photos/a.jpg") == "a.jpg"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([], "has no list 'categories'"),
        ({"categories": CATEGORIES}, "has no list 'images'"),
        ({"categories": [{"name": "cat"}], "images": []}, r"categories\[0\] has no 'name', or no"),
        ({"categories": CATEGORIES, "images": [{"id": 1}]}, r"images\[0\] has no 'file_name'"),
        ({"categories": CATEGORIES[:1], "images": []}, "do not have the bundle's class 'cat';"),
    ],
)
def test_a_file_without_the_ids_is_refused(tmp_path: Path, content: object, complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        read_coco_names(_file(tmp_path, content), ("cat",))
