"""Splits a data set into training, validation and test images, and records the split."""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pplcnet.data.annotations import Annotation
from pplcnet.data.dataset import SPLITS, Dataset, LabelledImage
from pplcnet.errors import DatasetError, InputError
from pplcnet.system.csv_cells import long_cells, original
from pplcnet.system.files import write_csv
from pplcnet.system.wording import counted

__all__ = [
    "CHECKSUM_COLUMN",
    "Recorded",
    "Splits",
    "draw_splits",
    "read_splits",
    "write_splits",
]

CHECKSUM_COLUMN = "sha256"
"""The checksums of the files; every split.csv of a run has this column."""
LARGEST_BYTES = 1 << 30


class Splits(NamedTuple):
    """Three disjoint parts of a data set."""

    train: Dataset
    validation: Dataset
    test: Dataset
    """Can be empty; the final figures are then of `validation`, and say so."""
    seed: int | None
    """None if the data's own splits were used as they are."""


def draw_splits(
    dataset: Dataset,
    *,
    validation: float,
    test: float,
    seed: int,
    groups: Sequence[Collection[Path]] = (),
) -> Splits:
    """Use the data's own splits if it has any, and draw the missing ones.

    With the data's own splits, a missing test split stays empty; a missing validation split is
    drawn from the training images.

    Args:
        validation: fraction of all images to hold out.
        test: the same; 0 for no test split.
        groups: paths of images that must stay together, such as copies of one image.

    Raises:
        DatasetError: too few images for a split.
    """
    if dataset.has_splits:
        training = dataset.keep(each for each in dataset.images if each.split in ("train", None))
        validating, testing = dataset.subset("validation"), dataset.subset("test")
        drawn_seed = None
        if not len(training):
            raise DatasetError(f"{dataset.place}: its train split holds no images.")
        if not len(validating):
            training, validating = training.split(validation, seed, groups=groups)
            drawn_seed = seed
    else:
        training, testing = dataset, dataset.keep(())
        if test:
            training, testing = dataset.split(test, seed, groups=groups)
        share = validation / (1 - test)
        training, validating = training.split(share, seed, groups=groups)
        drawn_seed = seed
    if not len(validating):
        raise DatasetError(
            f"{dataset.place}: {counted(len(dataset), 'photo')} in "
            f"{counted(len(dataset.classes), 'class')} are too few to hold any out for "
            f"validation{_remedy(len(testing), is_drawn=not dataset.has_splits)}."
        )
    return Splits(training, validating, testing, drawn_seed)


def _remedy(tested: int, *, is_drawn: bool) -> str:
    if tested and is_drawn:
        return (
            ": a class of 2 photos gives one to the test split and keeps one for training. Use "
            "--set test=0 to leave out the test split, or add a third photo to the classes"
        )
    return ": give at least one class 2 or more different photos"


def write_splits(
    splits: Splits, path: Path, contents: Mapping[Path, str] = MappingProxyType({})
) -> None:
    """Write a CSV of path, annotation and split, for `read_splits` and `Dataset.open`.

    Args:
        contents: sha256 of the files by path, to recognise images that were moved.
    """
    classes = splits.train.classes
    columns = type(splits.train.images[0].annotation).columns(classes)
    checksum = [CHECKSUM_COLUMN] if contents else []
    rows: list[list[object]] = []
    for split in SPLITS:
        part: Dataset = getattr(splits, split)
        for image in part.images:
            own = [contents.get(image.path, "")] if contents else []
            cells = image.annotation.cells(classes)
            rows.append([image.path.resolve(), *cells, split, *own])
    write_csv(path, ["path", *columns, "split", *checksum], rows)


class Recorded(NamedTuple):
    """The content of a split.csv."""

    classes: tuple[str, ...]
    """The names of the classes that its annotations use."""
    images: tuple[LabelledImage, ...]
    """Every image with its split, whether or not the file still exists."""
    contents: tuple[str, ...]
    """sha256 of each when the file was written; "" if unknown."""


def read_splits(
    path: Path, annotation: type[Annotation], *, skip_damaged_rows: bool = False
) -> Recorded:
    """Read what `write_splits` wrote.

    Args:
        annotation: the type of the task's annotations.
        skip_damaged_rows: leave them out, where knowing most images is better than knowing none.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"it has more than {LARGEST_BYTES:,} bytes")
        text = path.open(newline="", encoding="utf-8-sig", errors="surrogateescape")
        with text as file, long_cells():
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [row for row in reader if row]
        damage = [_damage(row, header) for row in rows]
        if skip_damaged_rows:
            sound = (row for row, fault in zip(rows, damage, strict=True) if not fault)
            rows = [row for row in sound if _says(row, header, annotation)]
        elif any(damage):
            raise ValueError(next(filter(None, damage)))
        return _recorded(path.parent, header, rows, annotation)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path}: is damaged ({str(error)[:200]}).") from error


def _damage(row: Sequence[str], header: Sequence[str]) -> str:
    """What is wrong with a row, apart from its annotation; "" if nothing is."""
    if not {"path", "split"} <= {*header}:
        return "it lists no photos" if header else "it is empty"
    if len(row) != len(header):
        return f"a row has {len(row)} cells, the header {len(header)}: {str(row)[:120]}"
    path, split = row[header.index("path")], row[header.index("split")]
    is_sound = path and "\0" not in path and split in SPLITS
    return "" if is_sound else f"a row says {str(row)[:120]}"


def _says(row: Sequence[str], header: Sequence[str], annotation: type[Annotation]) -> bool:
    """Whether a row has an annotation of this type."""
    cells = {
        original(name): original(cell)
        for name, cell in zip(header, row, strict=True)
        if name not in ("path", "split", CHECKSUM_COLUMN)
    }
    try:
        classes = annotation.classes_in(list(cells), [list(cells.values())])
        annotation.from_cells([cells[name] for name in annotation.columns(classes)], classes)
    except ValueError:
        return False
    return True


def _recorded(
    folder: Path, header: Sequence[str], rows: Sequence[list[str]], annotation: type[Annotation]
) -> Recorded:
    if not {"path", "split"} <= {*header} or not rows:
        raise ValueError("it lists no photos" if header else "it is empty")
    path_at, split_at = header.index("path"), header.index("split")
    checksum_at = header.index(CHECKSUM_COLUMN) if CHECKSUM_COLUMN in header else None
    others = [at for at in range(len(header)) if at not in (path_at, split_at, checksum_at)]
    columns = [original(header[at]) for at in others]
    cells = [[original(row[at]) for at in others] for row in rows]
    classes = tuple(annotation.classes_in(columns, cells))
    order = [columns.index(name) for name in annotation.columns(classes)]
    said = functools.cache(lambda *own: annotation.from_cells(own, classes))
    images = tuple(
        LabelledImage(folder / row[path_at], said(*(own[at] for at in order)), row[split_at])
        for row, own in zip(rows, cells, strict=True)
    )
    contents = tuple("" if checksum_at is None else row[checksum_at] for row in rows)
    return Recorded(classes, images, contents)
