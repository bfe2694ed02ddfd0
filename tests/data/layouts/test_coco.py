"""COCO's JSON: categories by name, the folders in which photos lie, every fault in one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits
from tests.data.layouts.boxes import annotation, refusal, said, write_coco, write_photo

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
BOXES = [
    annotation(1, 3, 10, 20, 30, 10),
    annotation(1, 7, 0, 0, 5, 6),
    annotation(3, 7, 1, 2, 3, 4),
]
BOXES_SAID = {
    "a.jpg": [("dog", 10, 20, 40, 30), ("cat", 0, 0, 5, 6)],
    "b.jpg": [],
    "c.jpg": [("cat", 1, 2, 4, 6)],
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in NAMES:
        write_photo(tmp_path / name)
    return tmp_path


def test_categories_are_known_by_their_names_whatever_their_ids(photos: Path) -> None:
    dataset = Dataset.open(write_coco(photos / "boxes.json", NAMES, BOXES))
    assert dataset.task == "detection"
    assert dataset.classes == ("cat", "dog")
    assert said(dataset) == BOXES_SAID
    assert {image.split for image in dataset.images} == {None}
    (note,) = dataset.notes
    assert note.startswith("boxes.json: categories are matched by name, not by id: ")
    assert "7 cat = class 0, 3 dog = class 1" in note


def test_ids_that_are_the_indices_go_without_saying(photos: Path) -> None:
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    boxes = [annotation(1, 0, 1, 1, 2, 2)]
    dataset = Dataset.open(write_coco(photos / "x.json", NAMES, boxes, categories=categories))
    assert dataset.notes == ()


def test_files_of_other_splits_may_have_other_ids_for_the_same_names(photos: Path) -> None:
    write_coco(photos / "train.json", NAMES[:2], BOXES[:2])
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    write_coco(
        photos / "val.json", NAMES[2:], [annotation(1, 2, 1, 2, 3, 4)], categories=categories
    )
    (photos / "test.json").write_text('{"images": []}')
    dataset = Dataset.open(photos)
    assert said(dataset) == BOXES_SAID
    assert [image.split for image in dataset.images] == ["train", "train", "validation"]
    assert "test.json has no boxes and is not used." in dataset.notes
    assert any(
        "val.json: categories" in note and "1 dog = class 1" in note for note in dataset.notes
    )


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("boxes.json", "images"),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_default.json", "images/default"),
        ("annotations/instances_train.json", "images"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_photos_are_found_where_tools_put_them(tmp_path: Path, file: str, folder: str) -> None:
    for name in NAMES:
        write_photo(tmp_path / folder / name)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    path = write_coco(tmp_path / file, NAMES, BOXES)
    assert said(Dataset.open(path)) == BOXES_SAID
    if file != "boxes.json":
        assert said(Dataset.open(tmp_path)) == BOXES_SAID


def test_a_crowd_and_an_ignored_box_are_marked(photos: Path) -> None:
    boxes = [
        annotation(1, 7, 0, 0, 9, 9, iscrowd=1),
        annotation(1, 7, 0, 0, 9, 8, ignore=1),
        annotation(1, 7, 0, 0, 9, 7, iscrowd=0),
    ]
    dataset = Dataset.open(write_coco(photos / "x.json", NAMES, boxes))
    assert dataset.images[0].annotation.is_crowd.tolist() == [True, True, False]


def test_a_category_that_only_groups_others_is_no_class(photos: Path) -> None:
    categories = [
        {"id": 0, "name": "pets", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "pets"},
    ]
    boxes = [annotation(1, 1, 1, 1, 2, 2)]
    dataset = Dataset.open(write_coco(photos / "x.json", NAMES, boxes, categories=categories))
    assert dataset.classes == ("cat",)
    assert "'pets' only groups other categories and has no boxes; it is left out." in dataset.notes


def test_all_faults_come_in_one_message(photos: Path) -> None:
    boxes: list[Any] = [
        annotation(9, 7, 1, 1, 2, 2),
        annotation(1, 0, 1, 1, 2, 2),
        annotation(1, 7, 1, 1, 2),
        annotation(1, 7, 1, 1, 2, 1e99),
        annotation(1, 7, "1", 1, 2, 2, id=31),
        annotation([], {}, 1, 1, 2, 2),
        5,
    ]
    message = refusal(write_coco(photos / "x.json", [*NAMES, "d.jpg"], boxes))
    for sentence in (
        "x.json: annotation 'number 1': there is no image with the id 9",
        "x.json: annotation 'number 2': there is no category with the id 0",
        "annotation 'number 3': bbox is [1, 1, 2]; it must be four numbers: left, top, width",
        "annotation 31: bbox is ['1', 1, 2, 2]",
        "annotation 'number 7': there is no image with the id None",
        "x.json: d.jpg does not exist",
    ):
        assert sentence in message
    assert "8 faults" in message


def test_a_photo_whose_boxes_are_spread_over_several_images_is_refused(photos: Path) -> None:
    boxes = [annotation(1, 7, 1, 1, 2, 2), annotation(2, 3, 5, 5, 2, 2)]
    names = [NAMES[0], NAMES[0], *NAMES[1:]]
    message = refusal(write_coco(photos / "x.json", names, boxes))
    assert f"{NAMES[0]}: is listed 2 times with different boxes; list it once" in message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"images": NaN}', "contains NaN, which is not valid JSON"),
        ('{"images": ' + "9" * 5000 + "}", "not JSON"),
        ("[]", "has no list 'images'"),
        ('{"images": []}', "has no list 'annotations'"),
        ('{"images": [], "annotations": {}, "categories": []}', "must be lists"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "lacks an id or a name"),
        ('{"images": [3], "annotations": [], "categories": []}', "lacks an id or a file_name"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, '
            '{"id": 1, "name": "b"}, {"id": 2, "name": "a "}]}',
            "two categories have the id 1",
        ),
    ],
)
def test_what_is_not_coco_s_json_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert complaint in refusal(path)


def test_splits_are_drawn_by_the_classes_of_the_boxes(tmp_path: Path) -> None:
    names = [write_photo(tmp_path / f"{at}.jpg").name for at in range(20)]
    boxes = [annotation(at, 3 if at < 5 else 7, 0, 0, 9, 9) for at in range(1, 17)]
    dataset = Dataset.open(write_coco(tmp_path / "x.json", names, boxes))
    splits = draw_splits(dataset, validation=0.25, test=0.25, seed=0)
    assert [len(part) for part in splits[:3]] == [10, 5, 5]
    for part in splits[:3]:
        cats, dogs = part.class_counts()
        assert dogs >= 1
        assert cats >= 2
        assert len(part) > cats + dogs  # those without boxes are in every part
