"""The images that a run's split.csv records, found again by their content.

The file has their absolute paths and sha256 checksums, which identify images that were moved or
renamed. Files written by older versions have no checksums.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from pplcnet.data.annotations import Marks
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.image_files import read_image_file
from pplcnet.data.splits import read_splits
from pplcnet.errors import InputError
from pplcnet.system.csv_cells import original
from pplcnet.system.parallel import in_order
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted
from pplcnet.tasks import find

__all__ = ["Found", "find_recorded", "read_table"]


@dataclass(frozen=True)
class Found:
    """The given images, and those that split.csv records, with their current paths."""

    images: tuple[LabelledImage, ...]
    """The given images; those that are recorded get the recorded split."""
    recorded: Dataset
    """The recorded images that still exist."""
    known: frozenset[Path] = frozenset()
    """Paths of the given images that are recorded."""
    gone: int = 0
    """The number of recorded images that no longer exist."""
    notes: tuple[str, ...] = ()
    """One sentence each: how images were recognised, and where that could fail."""


def find_recorded(
    given: Dataset, file: Path, trained_in: Path | None, watcher: Watcher | None = None
) -> Found:
    """Find out which of the given images a split.csv records.

    Args:
        file: the split.csv; it need not exist.
        trained_in: the data set's folder at the time, for files without checksums.
        watcher: receives progress.

    Raises:
        InputError: the file exists but has no readable row.
    """
    recorded, checksums = _read(file, given.task)
    if not len(recorded):
        return Found(given.images, recorded)
    if checksums:
        return _found_by_content(given, recorded, checksums, watcher or Watcher())
    return _found_by_path(given, recorded, file, trained_in)


def _found_by_content(
    given: Dataset, recorded: Dataset, checksums: dict[Path, str], watcher: Watcher
) -> Found:
    paths = [image.path for image in given.images]
    digests = watcher.watch(in_order(_checksum, paths), len(paths), "find the run's photos")
    own = dict(zip(paths, digests, strict=True))
    places = {os.path.realpath(path): path for path in paths}
    by_content: dict[str, list[Path]] = {}
    for path, checksum in own.items():
        by_content.setdefault(checksum, []).append(path)

    splits: dict[Path, str | None] = {}
    located = []
    moved: set[Path] = set()
    for image in recorded.images:
        there = places.get(os.path.realpath(image.path))
        checksum = checksums.get(image.path, "")
        # An image without a checksum was unreadable when the file was written.
        matches = by_content.get(checksum, []) if checksum else [there] if there else []
        for path in matches:
            # Content that is recorded twice counts as trained on if either copy was.
            if splits.get(path) != "train":
                splits[path] = image.split
        if matches and there not in matches:
            moved.update(matches)
        if matches:
            located.append(replace(image, path=there if there in matches else matches[0]))
        elif there is None and os.path.isfile(image.path):
            located.append(image)
    notes = []
    if moved:
        notes.append(
            f"{counted(len(moved), 'photo')} of the bundle's run {_were(len(moved))} recognised by "
            "content under another path."
        )
    return _found(given, recorded, located, splits, notes)


def _found_by_path(given: Dataset, recorded: Dataset, file: Path, trained_in: Path | None) -> Found:
    """For a split.csv without checksums: match by path, or by name if no path matches."""
    by_place = {os.path.realpath(image.path): image.split for image in recorded.images}
    splits = {
        image.path: by_place[place]
        for image in given.images
        if (place := os.path.realpath(image.path)) in by_place
    }
    located = [image for image in recorded.images if os.path.isfile(image.path)]
    notes = []
    if not splits:
        root = _common_folder(recorded.images, file.parent)
        if trained_in is not None and root.is_relative_to(trained_in):
            root = trained_in
        names = {_recorded_name(image.path, root): image for image in recorded.images}
        matches = [(image, names.get(given.name_of(image))) for image in given.images]
        splits = {image.path: same.split for image, same in matches if same is not None}
        if splits:
            notes.append(
                f"split.csv of the bundle's run has no checksums (it is of an older version); "
                f"{counted(len(splits), 'photo')} {_were(len(splits))} recognised by name, which "
                "is wrong if other photos have these names."
            )
            if not located:
                located = [
                    replace(same, path=image.path) for image, same in matches if same is not None
                ]
        else:
            notes.append(
                "none of these photos is in split.csv of the bundle's run, which has no checksums "
                "(it is of an older version): photos that were moved and renamed since are not "
                "recognised, and the figures on them are too good."
            )
    return _found(given, recorded, located, splits, notes)


def _found(
    given: Dataset,
    recorded: Dataset,
    located: list[LabelledImage],
    splits: dict[Path, str | None],
    notes: list[str],
) -> Found:
    images = tuple(
        replace(image, split=splits[image.path]) if image.path in splits else image
        for image in given.images
    )
    held_out = Counter(
        before.split
        for before, after in zip(given.images, images, strict=True)
        if before.split in ("validation", "test") and after.split == "train"
    )
    for split, count in sorted(held_out.items(), key=str):
        notes.append(
            f"the bundle's run trained on {counted(count, 'photo')} in the {split} split of these "
            f"photos; {'it counts' if count == 1 else 'they count'} as trained on."
        )
    root = _common_folder(located, recorded.root)
    return Found(
        images,
        Dataset(root, recorded.classes, tuple(located), task=recorded.task),
        frozenset(splits),
        len(recorded) - len(located),
        tuple(notes),
    )


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _checksum(path: Path) -> str:
    """sha256 of a file; "" if it cannot be read, which is reported when it is used."""
    try:
        return sha256(read_image_file(path).content).hexdigest()
    except OSError:
        return ""


def _read(file: Path, task: str) -> tuple[Dataset, dict[Path, str]]:
    """Every image that split.csv records, existing or not, and the checksums by path."""
    if not file.is_file():
        return Dataset(file.parent, (), (), task=task), {}
    try:
        classes, images, contents = read_splits(file, find(task).annotation, skip_damaged_rows=True)
    except InputError as error:
        raise InputError(
            f"{error} So it is not known which photos the bundle was trained on: restore a good "
            "copy, or move the file away to use all photos."
        ) from error
    checksums = {
        image.path: content for image, content in zip(images, contents, strict=True) if content
    }
    return Dataset(file.parent, classes, images, task=task), checksums


def _recorded_name(path: Path, root: Path) -> str:
    """The path relative to the root, as in `Dataset.name_of`."""
    return Dataset(root, (), ()).name_of(LabelledImage(path, Marks(())))


def _common_folder(images: Iterable[LabelledImage], otherwise: Path) -> Path:
    """The folder that contains all images, which keeps their names short."""
    folders = {image.path.parent for image in images}
    try:
        return Path(os.path.commonpath(folders)) if folders else otherwise
    except ValueError:  # on several drives
        return otherwise


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file by lower-case column; none if it is missing or unreadable.

    Nothing is raised, since a report can do without the file.
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
