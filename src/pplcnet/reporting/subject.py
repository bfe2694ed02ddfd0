"""What a report is about: a bundle, the photos it reports on, and those it was made of.

A run's `split.csv` beside the bundle says which photos were trained on; without one, the data
set's own splits do.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path

from pplcnet.bundle import Bundle
from pplcnet.csv_cells import original, original_path
from pplcnet.dataset import MULTI, SPLITS, Dataset, LabelledImage
from pplcnet.errors import DatasetError, InputError
from pplcnet.tables import read_table as read_labels

__all__ = ["Subject", "find_subject", "read_table"]

SPLIT_FILE, SKIPPED_FILE = "split.csv", "skipped.csv"


@dataclass(frozen=True)
class Subject:
    """A bundle and its photos; a part that is not known has no images."""

    bundle: Bundle
    split: str
    """Name of the reported part."""
    reported: Dataset
    train: Dataset
    validation: Dataset
    source: str
    """What says which photos were trained on: "split.csv", "the data set's splits" or ""."""
    gone: int = 0
    """Photos that split.csv lists and that are not there any more."""
    is_of_training: bool = False
    """Whether the bundle was made of this very folder, and nothing says which of its photos were
    trained on."""

    @cached_property
    def is_trained(self) -> tuple[bool, ...]:
        """Of each reported photo, whether it was trained on, which flatters the figures."""
        trained = _places(self.train)
        return tuple(os.path.realpath(image.path) in trained for image in self.reported.images)

    @property
    def trained(self) -> int:
        """How many reported photos were trained on."""
        return sum(self.is_trained)

    @property
    def folder(self) -> Path:
        """Where the run's files lie: beside the bundle."""
        return self.bundle.path.resolve().parent


def find_subject(bundle: Bundle, photos: str | PathLike[str], split: str | None = None) -> Subject:
    """Open the photos and find out which of them, and which others, were trained on.

    Args:
        split: the part to report on, or "all"; None takes test, else validation, else all.

    Raises:
        DatasetError: the photos are no data set.
        InputError: there is no such part.
    """
    whole = Dataset.open(photos)
    file = bundle.path.resolve().parent / SPLIT_FILE
    recorded, gone = (_recorded_marks if whole.task == MULTI else _recorded)(file)
    images = _as_divided(whole, recorded, file.with_name(SKIPPED_FILE))
    if split is None:
        found = {image.split for image in images}
        split = next((each for each in ("test", "validation") if each in found), "all")
    chosen = [image for image in images if split in ("all", image.split)]
    if not chosen:
        raise InputError(f"{whole.root}: has no {split} photos; --split all takes every photo.")
    source = SPLIT_FILE if len(recorded) else "the data set's splits" if whole.has_splits else ""
    parts = recorded if len(recorded) else whole
    reported = whole.keep(chosen)
    return Subject(
        bundle,
        split,
        reported,
        train=parts.subset("train"),
        validation=_other_than(reported, _known(parts.subset("validation"), bundle.classes)),
        source=source,
        gone=gone,
        is_of_training=not source and _made_of(bundle, photos),
    )


def _made_of(bundle: Bundle, photos: str | PathLike[str]) -> bool:
    data = bundle.manifest.provenance.get("dataset")
    named = data.get("photos") if isinstance(data, dict) else None
    return isinstance(named, str) and os.path.realpath(named) == os.path.realpath(photos)


def _as_divided(whole: Dataset, recorded: Dataset, skipped: Path) -> list[LabelledImage]:
    """The photos in the parts of the run that recorded them, less those that it left out."""
    splits = {os.path.realpath(image.path): image.split for image in recorded.images}
    names = {original_path(row.get("path", "")) for row in read_table(skipped)} if splits else set()
    images = []
    for image in whole.images:
        place = os.path.realpath(image.path)
        if place in splits:
            images.append(replace(image, split=splits[place]))
        elif whole.name_of(image) not in names:
            images.append(image)
    return images


def _recorded(path: Path) -> tuple[Dataset, int]:
    """The photos of split.csv that are still there, and how many are not."""
    rows = [row for row in read_table(path) if row.get("split") in SPLITS and row.get("path")]
    there = [row for row in rows if (path.parent / row["path"]).is_file()]
    classes = tuple(sorted({row.get("label", "") for row in there}))
    place = {name: index for index, name in enumerate(classes)}
    images = tuple(
        LabelledImage(path.parent / row["path"], place[row.get("label", "")], row["split"])
        for row in there
    )
    return Dataset(_common_folder(images, path.parent), classes, images), len(rows) - len(there)


def _recorded_marks(path: Path) -> tuple[Dataset, int]:
    """The same of several labels a photo: a column a label."""
    try:
        rows, labels, faults, _ = read_labels(path)
    except DatasetError:  # none, or none of a run
        rows, labels, faults = [], None, []
    named = [] if labels is None or faults else [row for row in rows if row.split in SPLITS]
    there = [row for row in named if (path.parent / row.path).is_file()]
    images = tuple(LabelledImage(path.parent / row.path, -1, row.split, row.marks) for row in there)
    root = _common_folder(images, path.parent)
    return Dataset(root, labels or (), images, task=MULTI), len(named) - len(there)


def _common_folder(images: Iterable[LabelledImage], otherwise: Path) -> Path:
    """The folder that all photos lie in, so that their names are short."""
    folders = {image.path.parent for image in images}
    try:
        return Path(os.path.commonpath(folders)) if folders else otherwise
    except ValueError:  # on several drives
        return otherwise


def _known(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The data set, or an empty one where it has classes that the bundle does not know."""
    return dataset if set(dataset.classes) <= set(classes) else dataset.keep(())


def _places(dataset: Dataset) -> set[str]:
    return {os.path.realpath(image.path) for image in dataset.images}


def _other_than(reported: Dataset, dataset: Dataset) -> Dataset:
    """The photos that are not reported on."""
    seen = _places(reported)
    return dataset.keep(
        image for image in dataset.images if os.path.realpath(image.path) not in seen
    )


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file by lower-case column; none where it is missing or unreadable.

    A report can do without the file, so that nothing is raised.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            for row in csv.DictReader(file):
                yield {
                    str(key).strip().lower(): original(value.strip())
                    for key, value in row.items()
                    if isinstance(key, str) and isinstance(value, str)
                }
    except (OSError, csv.Error):
        return
