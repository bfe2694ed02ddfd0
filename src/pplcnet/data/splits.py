"""Divide a data set into what is trained on, what chooses the epoch, and what is reported on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pplcnet.data.dataset import Dataset
from pplcnet.data.layouts.csv_table import CHECKSUM_COLUMN
from pplcnet.errors import DatasetError
from pplcnet.system.files import write_csv
from pplcnet.system.wording import counted

__all__ = ["Splits", "draw_splits", "write_splits"]


class Splits(NamedTuple):
    """Three parts without a common image."""

    train: Dataset
    validation: Dataset
    test: Dataset
    """May be empty; then the figures at the end come from `validation`, which is said."""
    seed: int | None
    """None when the data's own splits were used as they are."""


def draw_splits(
    dataset: Dataset,
    *,
    validation: float,
    test: float,
    seed: int,
    together: Sequence[Collection[Path]] = (),
) -> Splits:
    """Use the data's own splits where there are any, and draw what is missing with the seed.

    `validation` and `test` are fractions of all images. With own splits, a missing test split
    stays missing; a missing validation split is drawn from the training images. What is drawn
    keeps the images of `together` (copies of a picture) on one side.
    """
    if dataset.has_splits:
        training = dataset.keep(each for each in dataset.images if each.split in ("train", None))
        validating, testing = dataset.subset("validation"), dataset.subset("test")
        drawn_seed = None
        if not len(training):
            raise DatasetError(f"{dataset.root}: its train split holds no images.")
        if not len(validating):
            training, validating = training.split(validation, seed, together=together)
            drawn_seed = seed
    else:
        training, testing = dataset, dataset.keep(())
        if test:
            training, testing = dataset.split(test, seed, together=together)
        share = validation / (1 - test)
        training, validating = training.split(share, seed, together=together)
        drawn_seed = seed
    if not len(validating):
        raise DatasetError(
            f"{dataset.root}: {counted(len(dataset), 'photo')} in "
            f"{counted(len(dataset.classes), 'class')} are too few "
            f"to hold any out for validation{_remedy(len(testing), drawn=not dataset.has_splits)}."
        )
    return Splits(training, validating, testing, drawn_seed)


def _remedy(tested: int, *, drawn: bool) -> str:
    if tested and drawn:
        return (
            ": a class of 2 photos gives one to the test split and keeps one for training. Use "
            "--set test=0 to leave out the test split, or add a third photo to the classes"
        )
    return ": give at least one class 2 or more different photos"


def write_splits(
    splits: Splits, path: Path, contents: Mapping[Path, str] = MappingProxyType({})
) -> None:
    """A CSV of path, what is said of each image, and split, which `Dataset.open` reads back.

    Args:
        contents: sha256 of the files by path, so that photos can be recognised that were moved.
    """
    classes = splits.train.classes
    columns = type(splits.train.images[0].annotation).columns(classes)
    checksum = [CHECKSUM_COLUMN] if contents else []
    rows: list[list[object]] = []
    for split in ("train", "validation", "test"):
        part: Dataset = getattr(splits, split)
        for image in part.images:
            own = [contents.get(image.path, "")] if contents else []
            cells = image.annotation.cells(classes)
            rows.append([image.path.resolve(), *cells, split, *own])
    write_csv(path, ["path", *columns, "split", *checksum], rows)
