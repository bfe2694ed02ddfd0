"""Splits are drawn the same for the same seed, written and read back."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pplcnet.data.annotations import ClassLabel, Marks
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.splits import draw_splits, read_splits, write_splits
from pplcnet.errors import DatasetError, InputError
from tests.conftest import write_photos


@pytest.mark.parametrize("seed", range(6))
def test_copies_of_an_image_stay_in_one_split(photos: Path, seed: int) -> None:
    whole = Dataset.open(photos)
    copies = [[image.path for image in whole.images if image.shown[0] == 0][:5]]
    for part in draw_splits(whole, validation=0.25, test=0.25, seed=seed, groups=copies)[:3]:
        assert len({image.path for image in part.images} & set(copies[0])) in (0, 5)
        assert all(part.class_counts())


def test_drawn_splits_have_no_common_image(photos: Path) -> None:
    parts = draw_splits(Dataset.open(photos), validation=0.25, test=0.25, seed=1)
    names = [{image.path for image in part.images} for part in parts[:3]]
    assert [len(each) for each in names] == [18, 9, 9]
    assert len(set.union(*names)) == 36
    assert parts.seed == 1


def test_two_photos_per_class_are_enough_without_a_test_split(tmp_path: Path) -> None:
    dataset = Dataset.open(write_photos(tmp_path, classes=4, each=2))
    with pytest.raises(DatasetError, match=r"8 photos in 4 classes .* --set test=0 .* third photo"):
        draw_splits(dataset, validation=0.15, test=0.15, seed=0)
    parts = draw_splits(dataset, validation=0.15, test=0, seed=0)
    assert parts.train.class_counts() == parts.validation.class_counts() == (1, 1, 1, 1)


def test_one_photo_per_class_is_too_few(tmp_path: Path) -> None:
    dataset = Dataset.open(write_photos(tmp_path, classes=4, each=1))
    with pytest.raises(DatasetError, match="2 or more different photos") as caught:
        draw_splits(dataset, validation=0.15, test=0.15, seed=0)
    assert "test=0" not in str(caught.value)


def test_own_splits_are_kept(tmp_path: Path) -> None:
    for split, count in (("train", 8), ("test", 3)):
        write_photos(tmp_path / split, classes=2, each=count)
    parts = draw_splits(Dataset.open(tmp_path), validation=0.25, test=0.25, seed=1)
    assert [len(part) for part in parts[:3]] == [12, 4, 6]
    assert all(image.split == "test" for image in parts.test.images)


def test_written_splits_read_back_the_same(photos: Path, tmp_path: Path) -> None:
    parts = draw_splits(Dataset.open(photos), validation=0.25, test=0.25, seed=1)
    write_splits(parts, tmp_path / "split.csv")
    again = draw_splits(Dataset.open(tmp_path / "split.csv"), validation=0.5, test=0.1, seed=9)
    assert again.seed is None
    for before, after in zip(parts[:3], again[:3], strict=True):
        assert [i.path for i in after.images] == [i.path for i in before.images]


def test_every_label_is_split_near_to_its_share(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    shown = generator.random((300, 5)) < [0.5, 0.3, 0.1, 0.05, 0.02]
    lines = [",".join([f"{at}.png", *map(str, row.astype(int))]) for at, row in enumerate(shown)]
    for at in range(300):
        (tmp_path / f"{at}.png").touch()
    (tmp_path / "table.csv").write_text("\n".join(["path,a,b,c,d,e", *lines]))
    dataset = Dataset.open(tmp_path / "table.csv")
    parts = draw_splits(dataset, validation=0.2, test=0.2, seed=0)
    for part in (parts.validation, parts.test):
        assert abs(len(part) - 60) <= 3
        shares = np.divide(part.class_counts(), dataset.class_counts())
        assert np.abs(shares - 0.2).max() < 0.1
    write_splits(parts, tmp_path / "split.csv")
    again = Dataset.open(tmp_path / "split.csv")
    assert again.task == "multilabel"
    assert again.subset("test").class_counts() == parts.test.class_counts()


def _drawn(count: int, classes: int, *, is_multi: bool) -> Dataset:
    """Photos that are nowhere, with labels drawn at random."""
    draw, root = random.Random(3), Path("/nowhere/x")
    names = tuple(f"c{at:04d}" for at in range(classes))
    images = tuple(
        LabelledImage(
            root / f"{at:07d}.jpg",
            Marks(tuple(int(draw.random() < 0.5 / (1 + label % 7)) for label in range(classes))),
        ) if is_multi else
        LabelledImage(
            root / names[at * 7 % classes] / f"{at:07d}.jpg", ClassLabel(at * 7 % classes)
        )
        for at in range(count)
    )  # fmt: skip
    if is_multi:
        names = tuple(f"l{at}" for at in range(classes))
    return Dataset(root, names, images, task="multilabel" if is_multi else "classification")


@pytest.mark.parametrize(
    ("is_multi", "count", "classes", "digest"),
    [(False, 3000, 37, "393b4356c23ed482"), (True, 1500, 23, "6ca8c39fc906efd8")],
)
def test_a_seed_gives_the_splits_of_earlier_versions(
    is_multi: bool, count: int, classes: int, digest: str
) -> None:
    dataset = _drawn(count, classes, is_multi=is_multi)
    copies = [[image.path for image in dataset.images[at : at + 3]] for at in range(0, 30, 5)]
    given = copies if is_multi else []
    parts = draw_splits(dataset, validation=0.2, test=0.15, seed=0, groups=given)
    paths = [[str(image.path) for image in part.images] for part in parts[:3]]
    assert sha256(repr(paths).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("annotation", "header", "rows"),
    [
        (ClassLabel, "path,label", ["a.png,=cat", "b.png,dog"]),
        (Marks, "path,=cat,dog", ["a.png,1,0", "b.png,-1,1"]),
    ],
)
def test_read_splits_gives_back_what_was_written(
    tmp_path: Path, annotation: type, header: str, rows: list[str]
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    (tmp_path / "table.csv").write_text(
        "\n".join([f"{header},split", f"{rows[0]},train", f"{rows[1]},validation"])
    )
    dataset = Dataset.open(tmp_path / "table.csv")
    splits = draw_splits(dataset, validation=0.5, test=0, seed=0)
    contents = {tmp_path / "a.png": "0" * 64}
    write_splits(splits, tmp_path / "split.csv", contents)
    recorded = read_splits(tmp_path / "split.csv", annotation)
    assert recorded.classes == dataset.classes == ("=cat", "dog")
    assert recorded.images == dataset.images
    assert recorded.contents == ("0" * 64, "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is empty"),
        ("path,label,split\n", "it lists no photos"),
        ("path,split\na.png,train\n", "it has no column 'label'"),
        ("path,label,split\na.png,cat\n", "a row has 2 cells, the header 3"),
        ("path,label,split\na.png,cat,dev\n", "a row says"),
        ("path,label,split\na\0.png,cat,train\n", "a row says"),
    ],
)
def test_a_damaged_split_csv_says_what_is_wrong(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(InputError, match=rf"split\.csv: is damaged \({complaint}"):
        read_splits(tmp_path / "split.csv", ClassLabel)


def test_marks_other_than_three_are_refused(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("path,cat,dog,split\na.png,1,7,train\n")
    with pytest.raises(InputError, match="'1, 7' are not 2 times 1, 0 or -1"):
        read_splits(tmp_path / "split.csv", Marks)


@pytest.mark.parametrize(
    "row", ["c.png,1,7,test", "c.png,1,test", "c.png,1,0,tset", ",1,0,test", "c.png,1,yes,test"]
)
def test_damaged_rows_of_marks_are_left_out_where_that_is_asked(tmp_path: Path, row: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(f"path,x,y,split\na.png,1,0,train\n{row}\nb.png,-1,1,test\n")
    with pytest.raises(InputError, match="is damaged"):
        read_splits(path, Marks)
    found = read_splits(path, Marks, skip_damaged_rows=True)
    assert [image.path.name for image in found.images] == ["a.png", "b.png"]
    assert [image.annotation for image in found.images] == [Marks((1, 0)), Marks((-1, 1))]


def test_a_split_csv_that_is_missing_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split\.csv: cannot be read \(No such file"):
        read_splits(tmp_path / "split.csv", ClassLabel)
