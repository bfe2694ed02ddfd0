"""A data set is split at random, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.annotations import ClassLabel, Marks
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import InputError
from tests.conftest import write_photos


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


def test_a_class_with_only_copies_is_trained_on(photos: Path) -> None:
    whole = Dataset.open(photos)
    copies = [[image.path for image in whole.images if image.shown[0] == 0]]
    training, validating = whole.split(0.25, groups=copies)
    assert training.class_counts()[0] == 12
    assert validating.class_counts() == (0, 3, 3)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 3])
def test_split_refuses_a_fraction_outside_0_to_1(photos: Path, fraction: float) -> None:
    with pytest.raises(InputError, match="fraction between 0 and 1"):
        Dataset.open(photos).split(fraction)


def test_images_with_the_same_path_stay_together() -> None:
    root = Path("/nowhere")
    images = [LabelledImage(root / f"{n % 20}.png", ClassLabel(n % 3)) for n in range(60)]
    dataset = Dataset(root, ("a", "b", "c"), tuple(images))
    training, validation = dataset.split(0.3, seed=1)
    assert not {each.path for each in training.images} & {each.path for each in validation.images}


def test_other_classes_renumber_the_annotations() -> None:
    images = tuple(LabelledImage(Path(f"{at}.png"), ClassLabel(at)) for at in range(3))
    dataset = Dataset(Path(), ("a", "b", "c"), images).with_classes(("c", "x", "a"))
    assert [(image.path.name, image.shown) for image in dataset.images] == [
        ("0.png", (2,)), ("2.png", (0,)),
    ]  # fmt: skip
    marked = Dataset(Path(), ("a", "b"), (LabelledImage(Path("0.png"), Marks((1, 0))),))
    (image,) = marked.with_classes(("b", "x", "a")).images
    assert image.annotation == Marks((0, -1, 1))
