"""Folders of photos and masks: pairs, splits, and what has no partner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from pplcnet.tasks.segmentation.audit import faults
from tests.data.layouts.boxes import write_photo
from tests.data.layouts.masks import VALUES, areas, refusal, write_classes, write_mask, write_pair

READ = {"land": 920, "road": 920, "sea": 1104}


def test_splits_are_those_of_folders_below_both(tmp_path: Path) -> None:
    for name in ("train/a", "train/deep/b", "val/c", "test/d"):
        write_pair(tmp_path, name)
    write_classes(tmp_path)
    dataset = Dataset.open(tmp_path)
    assert dataset.task == "segmentation"
    assert dataset.classes == ("land", "road", "sea")
    assert areas(dataset)["images/train/deep/b.jpg"] == READ
    assert [image.split for image in dataset.images] == ["test", "train", "train", "validation"]
    assert dataset.notes == (
        "masks are read by their grey levels: 0 land, 1 road, 2 sea; 255 is ignored.",
    )


@pytest.mark.parametrize(
    ("photos", "masks", "split"),
    [
        ("train/images", "train/masks", "train"),
        ("Training/JPEGImages", "Training/labels", "train"),
        ("valid", "valid_masks", "validation"),
        ("train", "trainannot", "train"),
        ("imgs", "annotations", None),
        ("images/validation", "annotations/validation", "validation"),
    ],
)
def test_other_names_of_folders(tmp_path: Path, photos: str, masks: str, split: str | None) -> None:
    write_photo(tmp_path / photos / "a.jpg")
    write_mask(tmp_path / masks / "a.png", VALUES)
    write_classes(tmp_path)
    dataset = Dataset.open(tmp_path)
    assert areas(dataset) == {f"{photos}/a.jpg": READ}
    assert dataset.images[0].split == split


def test_masks_may_have_more_in_their_names_and_other_formats(tmp_path: Path) -> None:
    write_photo(tmp_path / "images" / "a.jpg")
    write_photo(tmp_path / "images" / "b.jpg")
    write_mask(tmp_path / "masks" / "a_mask.gif", VALUES)
    write_mask(tmp_path / "masks" / "b.bmp", VALUES)
    write_classes(tmp_path)
    dataset = Dataset.open(tmp_path)
    assert set(areas(dataset)) == {"images/a.jpg", "images/b.jpg"}
    assert "mask names are photo names followed by _mask." in dataset.notes


def test_photos_and_masks_without_partners_are_told_in_one_message(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    write_pair(tmp_path, "twice")
    write_mask(tmp_path / "masks" / "twice.gif", VALUES)
    write_photo(tmp_path / "images" / "alone.jpg")
    write_mask(tmp_path / "masks" / "lost.png", VALUES)
    write_classes(tmp_path)
    text = refusal(tmp_path)
    assert "images/alone.jpg: has no mask masks/alone.png" in text
    assert "masks/lost.png: there is no photo of this name in images" in text
    assert "images/twice.jpg: 2 masks are called twice; keep one" in text
    left_out = {each for fault in faults(Dataset.open(tmp_path)) for each in fault.left_out}
    assert {each.path.name for each in left_out} == {"alone.jpg", "twice.jpg"}


def test_a_pair_of_two_sizes_and_a_mask_of_jpeg_are_told(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    write_pair(tmp_path, "small", VALUES[::2, ::2])
    write_pair(tmp_path, "lossy", VALUES, ".jpg")
    write_pair(tmp_path, "broken")
    (tmp_path / "masks" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    write_classes(tmp_path)
    text = refusal(tmp_path)
    assert "images/small.jpg: the photo has 64x48 pixels and its mask small.png 32x24" in text
    assert "images/lossy.jpg: its mask lossy.jpg is saved as JPEG, which changes the values" in text
    assert "images/broken.jpg: its mask broken.png: truncated or damaged" in text


def test_a_mask_is_turned_with_its_photo_where_its_size_says_so(tmp_path: Path) -> None:
    write_photo(tmp_path / "images" / "stored.jpg", orientation=6)
    write_mask(tmp_path / "masks" / "stored.png", VALUES)
    write_photo(tmp_path / "images" / "upright.jpg", orientation=8)
    write_mask(tmp_path / "masks" / "upright.png", np.rot90(VALUES))
    write_photo(tmp_path / "images" / "half.jpg", orientation=3)
    write_mask(tmp_path / "masks" / "half.png", VALUES)
    write_classes(tmp_path)
    dataset = Dataset.open(tmp_path)
    found = {image.path.stem: image.annotation for image in dataset.images}
    np.testing.assert_array_equal(found["stored"].read(), np.rot90(VALUES, -1))
    np.testing.assert_array_equal(found["upright"].read(), np.rot90(VALUES))
    np.testing.assert_array_equal(found["half"].read(), VALUES)
    assert {each.size for each in found.values()} == {(48, 64), (64, 48)}
    turned = [note for note in dataset.notes if "EXIF" in note]
    assert [note.rsplit(": ", 1)[1] for note in turned] == [
        "stored.jpg.", "upright.jpg.", "half.jpg."
    ]  # fmt: skip


def test_photos_beside_folders_of_splits_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "train/a")
    write_pair(tmp_path, "b")
    write_classes(tmp_path)
    with pytest.raises(DatasetError, match=r"images holds folders of splits beside b.jpg \(1 ph"):
        Dataset.open(tmp_path)


def test_no_mask_that_can_be_used(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", ending=".jpg")
    assert "none of its masks can be used" in refusal(tmp_path)


def test_a_folder_of_boxes_or_class_folders_is_none_of_masks(tmp_path: Path) -> None:
    from pplcnet.data.layouts import mask_folders

    write_photo(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert not mask_folders.recognises(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "labels" / "a.png")
    assert mask_folders.recognises(tmp_path)
