"""Lists of pairs, VOC's lists, and tables of photos and masks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits, read_splits, write_splits
from pplcnet.errors import DatasetError
from tests.data.layouts.boxes import write_photo
from tests.data.layouts.masks import VALUES, areas, refusal, write_classes, write_mask, write_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c d"):
        write_pair(tmp_path, name)
    write_classes(tmp_path)
    return tmp_path


def test_a_list_of_pairs_and_those_of_other_splits(folder: Path) -> None:
    (folder / "train.txt").write_text("images/a.jpg masks/a.png\nimages/c d.jpg\tmasks/c d.png\n")
    (folder / "val.txt").write_text("images/b.jpg masks/b.png\n")
    dataset = Dataset.open(folder / "train.txt")
    assert {image.path.name: image.split for image in dataset.images} == {
        "a.jpg": "train", "c d.jpg": "train", "b.jpg": "validation"
    }  # fmt: skip
    assert len(areas(dataset)) == 3


def test_lists_in_a_folder_decide_which_pairs_and_splits_it_has(folder: Path) -> None:
    (folder / "train_list.txt").write_text("images/a.jpg masks/a.png\n")
    (folder / "val_list.txt").write_text("images/b.jpg masks/b.png\n")
    dataset = Dataset.open(folder)
    assert {image.path.name: image.split for image in dataset.images} == {
        "a.jpg": "train", "b.jpg": "validation"
    }  # fmt: skip
    assert dataset.notes[0] == "the photos and masks are those listed in train_list.txt."


def test_all_faults_of_the_lines_come_at_once(folder: Path) -> None:
    (folder / "train.txt").write_text(
        "images/a.jpg masks/a.png\nimages/x.jpg masks/a.png\nimages/b.jpg\n"
    )
    text = refusal(folder / "train.txt")
    assert "train.txt line 2: images/x.jpg does not exist" in text
    assert "train.txt line 3: 'images/b.jpg' is not the path of a photo and that of a mask" in text


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_photo(tmp_path / "JPEGImages" / f"{name}.jpg")
    for name in ("a", "b"):
        write_mask(tmp_path / "SegmentationClass" / f"{name}.png", VALUES)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    (lists / "trainval.txt").write_text("a\nb\n")
    write_classes(tmp_path)
    return tmp_path


def test_lists_of_voc_give_the_splits(voc: Path) -> None:
    for given in (voc, voc / "ImageSets" / "Segmentation" / "train.txt"):
        dataset = Dataset.open(given)
        assert {dataset.name_of(image): image.split for image in dataset.images} == {
            "JPEGImages/a.jpg": "train", "JPEGImages/b.jpg": "validation"
        }  # fmt: skip


def test_voc_without_lists_has_the_photos_with_masks(voc: Path) -> None:
    for file in (voc / "ImageSets" / "Segmentation").iterdir():
        file.unlink()
    assert [image.split for image in Dataset.open(voc).images] == [None, None]


def test_a_name_in_a_list_of_voc_without_files_is_a_fault(voc: Path) -> None:
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("a\nc\nd\n")
    text = refusal(voc)
    assert "c: not in SegmentationClass" in text
    assert "d: not in JPEGImages and not in SegmentationClass" in text


def test_a_table_of_pairs(folder: Path) -> None:
    (folder / "data.csv").write_text(
        "image,mask,split\nimages/a.jpg,masks/a.png,train\nimages/b.jpg,masks/b.png,val\n"
    )
    dataset = Dataset.open(folder / "data.csv")
    assert [image.split for image in dataset.images] == ["train", "validation"]
    assert set(areas(dataset)) == {"images/a.jpg", "images/b.jpg"}


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("images/a.jpg,,train", "line 2: no mask"),
        ("images/a.jpg,masks/x.png,train", "masks/x.png does not exist"),
        ("images/a.jpg,masks/a.png,best", "split 'best', allowed are train, validation, test"),
        ("images/a.jpg,masks/a.png,\nimages/b.jpg,masks/b.png,val", "line 2: the split is empty"),
    ],
)
def test_faults_of_rows(folder: Path, rows: str, complaint: str) -> None:
    (folder / "data.csv").write_text(f"image,mask,split\n{rows}\n")
    assert complaint in refusal(folder / "data.csv")


def test_what_a_run_writes_is_read_again(folder: Path) -> None:
    dataset = Dataset.open(folder)
    splits = draw_splits(dataset, validation=0.34, test=0, seed=1)
    write_splits(splits, folder / "split.csv", {image.path: "0" * 64 for image in dataset.images})
    recorded = read_splits(folder / "split.csv", type(dataset.images[0].annotation))
    assert recorded.classes == dataset.classes
    again = Dataset.open(folder / "split.csv")
    assert again.classes == dataset.classes
    assert sorted(areas(again).values(), key=str) == sorted(areas(dataset).values(), key=str)
    assert {image.path.name: image.annotation.digest for image in recorded.images} == {
        image.path.name: image.annotation.digest for image in dataset.images
    }
    text = (folder / "split.csv").read_text().replace(",train,", ",sometime,")
    (folder / "split.csv").write_text(text.replace("masks/a.png", "masks/gone.png"))
    with pytest.raises(DatasetError, match=r"gone.png does not exist"):
        Dataset.open(folder / "split.csv")
