"""Every layout that a data set can have, and every way that a layout can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits, write_splits
from pplcnet.errors import DatasetError, InputError
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
    with pytest.raises(DatasetError, match=r"split folders \(train\) beside others \(leftovers\)"):
        Dataset.open(tmp_path)


def test_a_csv_file(photos: Path) -> None:
    table = photos / "table.csv"
    rows = [f"class_{n % 2}/00{n}.png,{'cat' if n % 2 else 'dog'},{'val' if n > 5 else 'train'}"
            for n in range(8)]  # fmt: skip
    table.write_text("\ufeffFile,Label,Split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    dataset = Dataset.open(table)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.subset("train")) == 6
    assert len(dataset.subset("validation")) == 2
    assert all(image.path.is_file() for image in dataset.images)


@pytest.mark.parametrize("label_lines", [["dog", "cat"], ["0 dog", "1 cat"]])
def test_the_list_file_of_paddleclas(photos: Path, label_lines: list[str]) -> None:
    (photos / "train_list.txt").write_text("class_0/000.png 0\nclass_1/001.png 1\n")
    (photos / "val_list.txt").write_text("class_1/003.png\t1\n")
    (photos / "labels.txt").write_text("\n".join(label_lines))
    dataset = Dataset.open(photos / "train_list.txt")
    assert dataset.classes == ("dog", "cat")
    assert [(image.shown[0], image.split) for image in dataset.images] == [
        (0, "train"), (1, "train"), (1, "validation"),
    ]  # fmt: skip


def test_a_list_file_takes_names_with_spaces(photos: Path) -> None:
    draw_image(0, 1).save(photos / "two words.png")
    (photos / "list.txt").write_text("two words.png 1\nclass_0/000.png 0\n")
    (photos / "names.txt").write_text("a\nb\n")
    dataset = Dataset.from_list_file(photos / "list.txt", photos / "names.txt")
    assert dataset.name_of(dataset.images[0]) == "two words.png"


@pytest.mark.parametrize(
    ("content", "complaints"),
    [
        ("name,tag\na,b\n", ["its columns are name, tag", "path column"]),
        ("", ["its columns are none"]),
        ("path,label\nclass_0/000.png,\nnone.png,a\n,b\n",
         ["3 faults", "line 2: no usable label", "none.png does not exist",
          "line 4: no path"]),
        ("path,label,split\nclass_0/000.png,a,dev\n", ["split 'dev'", "allowed are train"]),
        ("path,label\nclass_0/000.png,a\nclass_0/001.png,a\n", ["one class only"]),
    ],
    ids=["no columns", "empty", "bad lines", "bad split", "one class"],
)  # fmt: skip
def test_a_wrong_csv_says_everything_at_once(
    photos: Path, content: str, complaints: list[str]
) -> None:
    (photos / "table.csv").write_text(content)
    with pytest.raises(DatasetError) as caught:
        Dataset.open(photos / "table.csv")
    for complaint in complaints:
        assert complaint in str(caught.value)


def test_a_list_file_with_a_label_that_does_not_exist(photos: Path) -> None:
    (photos / "list.txt").write_text("class_0/000.png 0\nclass_0/001.png 7\n")
    (photos / "labels.txt").write_text("a\nb\n")
    with pytest.raises(DatasetError, match=r"label '7', allowed are 0 to 1"):
        Dataset.open(photos / "list.txt")


def test_a_list_file_without_label_file(photos: Path) -> None:
    (photos / "list.txt").write_text("class_0/000.png 0\n")
    with pytest.raises(DatasetError, match=r"labels\.txt"):
        Dataset.open(photos / "list.txt")


def test_places_that_are_no_data_set(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    loose = tmp_path / "loose"
    loose.mkdir()
    draw_image(0, 0).save(loose / "a.png")
    single = write_photos(tmp_path / "single", classes=1)
    (tmp_path / "data.bin").write_bytes(b"1")
    for place, complaint in (
        (tmp_path / "absent", "no such folder"),
        (empty, "no images"),
        (loose, "1 image but no class folders"),
        (single, "one class only"),
        (tmp_path / "data.bin", "not a data set"),
    ):
        with pytest.raises(DatasetError, match=complaint):
            Dataset.open(place)


def test_a_folder_around_the_class_folders_is_pointed_into(tmp_path: Path) -> None:
    inner = tmp_path / "download" / "Dataset"
    write_photos(inner)
    with pytest.raises(DatasetError, match=rf"Are the class folders those in {inner}\?"):
        Dataset.open(tmp_path / "download")


def test_split_is_stratified_and_repeatable(photos: Path, tmp_path: Path) -> None:
    training, validating = Dataset.open(photos).split(validation=0.25, seed=4)
    assert training.class_counts() == (9, 9, 9)
    assert validating.class_counts() == (3, 3, 3)
    assert (training.split_seed, validating.split_seed) == (4, 4)
    moved = tmp_path / "elsewhere"
    photos.rename(moved)
    again, other = Dataset.open(moved), Dataset.open(moved).split(0.25, seed=5)[1]
    names = [validating.name_of(image) for image in validating.images]
    same = again.split(0.25, seed=4)[1]
    assert [same.name_of(image) for image in same.images] == names
    assert [other.name_of(image) for image in other.images] != names


def test_split_leaves_every_class_on_both_sides(tmp_path: Path) -> None:
    training, validating = Dataset.open(write_photos(tmp_path, classes=2, each=2)).split(0.01)
    assert training.class_counts() == validating.class_counts() == (1, 1)


@pytest.mark.parametrize("seed", range(6))
def test_copies_of_a_picture_stay_on_one_side(photos: Path, seed: int) -> None:
    whole = Dataset.open(photos)
    copies = [[image.path for image in whole.images if image.shown[0] == 0][:5]]
    for part in draw_splits(whole, validation=0.25, test=0.25, seed=seed, groups=copies)[:3]:
        assert len({image.path for image in part.images} & set(copies[0])) in (0, 5)
        assert all(part.class_counts())


def test_a_class_of_nothing_but_copies_is_trained_on(photos: Path) -> None:
    whole = Dataset.open(photos)
    copies = [[image.path for image in whole.images if image.shown[0] == 0]]
    training, validating = whole.split(0.25, groups=copies)
    assert training.class_counts()[0] == 12
    assert validating.class_counts() == (0, 3, 3)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 3])
def test_split_refuses_a_fraction_outside_0_to_1(photos: Path, fraction: float) -> None:
    with pytest.raises(InputError, match="fraction between 0 and 1"):
        Dataset.open(photos).split(fraction)


def test_division_of_undivided_photos_has_no_common_image(photos: Path) -> None:
    parts = draw_splits(Dataset.open(photos), validation=0.25, test=0.25, seed=1)
    names = [{image.path for image in part.images} for part in parts[:3]]
    assert [len(each) for each in names] == [18, 9, 9]
    assert len(set.union(*names)) == 36
    assert parts.seed == 1


def test_two_photos_a_class_name_the_setting_that_leaves_out_the_test_split(tmp_path: Path) -> None:
    dataset = Dataset.open(write_photos(tmp_path, classes=4, each=2))
    with pytest.raises(DatasetError, match=r"8 photos in 4 classes .* --set test=0 .* third photo"):
        draw_splits(dataset, validation=0.15, test=0.15, seed=0)
    parts = draw_splits(dataset, validation=0.15, test=0, seed=0)
    assert parts.train.class_counts() == parts.validation.class_counts() == (1, 1, 1, 1)


def test_one_photo_a_class_asks_for_more_photos(tmp_path: Path) -> None:
    dataset = Dataset.open(write_photos(tmp_path, classes=4, each=1))
    with pytest.raises(DatasetError, match="2 or more different photos") as caught:
        draw_splits(dataset, validation=0.15, test=0.15, seed=0)
    assert "test=0" not in str(caught.value)


def test_division_keeps_the_photos_own_splits(tmp_path: Path) -> None:
    for split, count in (("train", 8), ("test", 3)):
        write_photos(tmp_path / split, classes=2, each=count)
    parts = draw_splits(Dataset.open(tmp_path), validation=0.25, test=0.25, seed=1)
    assert [len(part) for part in parts[:3]] == [12, 4, 6]
    assert all(image.split == "test" for image in parts.test.images)


def test_a_written_division_reads_back_the_same(photos: Path, tmp_path: Path) -> None:
    parts = draw_splits(Dataset.open(photos), validation=0.25, test=0.25, seed=1)
    write_splits(parts, tmp_path / "split.csv")
    again = draw_splits(Dataset.open(tmp_path / "split.csv"), validation=0.5, test=0.1, seed=9)
    assert again.seed is None
    for before, after in zip(parts[:3], again[:3], strict=True):
        assert [i.path for i in after.images] == [i.path for i in before.images]
