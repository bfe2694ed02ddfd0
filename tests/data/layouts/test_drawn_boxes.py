"""Boxes to pixels of the upright photo, whichever way round the photo was when they were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.data.dataset import Dataset
from pplcnet.imaging.decoding import decode
from tests.data.layouts.boxes import annotation, refusal, said, write_coco, write_photo

STORED = (20, 15, 10, 5)
"""Left, top, width and height of a white box in a stored photo of 64x48."""


def _write_marked(path: Path, orientation: int) -> None:
    image = Image.new("RGB", (64, 48), "black")
    image.paste("white", (20, 15, 30, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_on_the_stored_photo_are_turned_with_it(
    tmp_path: Path, orientation: int
) -> None:
    _write_marked(tmp_path / "a.png", orientation)
    dataset = Dataset.open(write_coco(tmp_path / "x.json", ["a.png"], [annotation(1, 7, *STORED)]))
    boxes = dataset.images[0].annotation
    assert boxes.size == (48, 64)
    upright = np.asarray(decode(dataset.images[0].path))[..., 0]
    rows, columns = np.nonzero(upright)
    white = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert boxes.xyxy[0].tolist() == white
    assert (
        "1 photo is rotated by EXIF, and the width and height beside the boxes are those of the "
        "photo as stored, so the boxes were rotated with it: a.png."
    ) in dataset.notes


def test_boxes_drawn_on_the_upright_photo_stay(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", (48, 64), 6)
    dataset = Dataset.open(write_coco(tmp_path / "x.json", ["a.jpg"], [annotation(1, 7, *STORED)]))
    assert said(dataset)["a.jpg"] == [("cat", 20, 15, 30, 20)]
    assert any("are those of the upright photo, so the boxes were left" in n for n in dataset.notes)


@pytest.mark.parametrize(("size", "orientation"), [((64, 64), 6), ((64, 48), 3)])
def test_where_the_size_does_not_say_the_upright_photo_is_taken_and_said(
    tmp_path: Path, size: tuple[int, int], orientation: int
) -> None:
    write_photo(tmp_path / "a.jpg", size, orientation)
    image = {"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}
    path = write_coco(tmp_path / "x.json", [], [annotation(1, 7, *STORED)], images=[image])
    dataset = Dataset.open(path)
    assert said(dataset)["a.jpg"] == [("cat", 20, 15, 30, 20)]
    assert any("nothing beside the boxes says whether they were" in note for note in dataset.notes)


def test_a_photo_of_another_size_is_refused(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", (128, 96))
    message = refusal(write_coco(tmp_path / "x.json", ["a.jpg"], []))
    assert "x.json: a.jpg: says that the photo has 64x48 pixels, but a.jpg has 128x96" in message


def test_a_little_overhang_is_cut_off_and_counted(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    boxes = [annotation(1, 7, -1, 2, 66, 10), annotation(1, 7, -5, 2, 20, 10)]
    dataset = Dataset.open(write_coco(tmp_path / "x.json", ["a.jpg"], boxes))
    assert said(dataset)["a.jpg"] == [("cat", 0, 2, 64, 12), ("cat", -5, 2, 15, 12)]
    assert any("1 box extended up to 2 pixels beyond the photo" in note for note in dataset.notes)


def test_a_photo_that_cannot_be_read_is_left_to_the_audit(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"broken")
    dataset = Dataset.open(write_coco(tmp_path / "x.json", ["a.jpg"], []))
    assert dataset.images[0].annotation.size == (0, 0)
