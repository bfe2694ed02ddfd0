"""The subject of a report: a bundle, the evaluated images, and those it was trained on.

A run's `split.csv` beside the bundle tells which images were trained on; without one, the data
set's own splits do.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import InputError
from pplcnet.reports.recorded import Found, find_recorded, read_table
from pplcnet.system.csv_cells import original_path
from pplcnet.system.progress import Watcher
from pplcnet.tasks import task_of
from pplcnet.tasks.evaluate import check_task

__all__ = ["Subject", "find_subject", "read_table"]

SPLIT_FILE, SKIPPED_FILE, RUN_FILE = "split.csv", "skipped.csv", "run.json"
RUN_LIMIT = 8 << 20


@dataclass(frozen=True)
class Subject:
    """A bundle and its images; a part that is unknown has no images."""

    bundle: Bundle
    split: str
    """Name of the evaluated part."""
    reported: Dataset
    train: Dataset
    validation: Dataset
    source: str
    """What tells which images were trained on: "split.csv", "the data set's splits" or ""."""
    gone: int = 0
    """The number of images listed in split.csv that no longer exist."""
    is_of_training: bool = False
    """Whether the bundle was trained on images of this same folder, but nothing tells on which."""
    notes: tuple[str, ...] = ()
    """One sentence each on how reliably it is known which images were trained on."""
    image_notes: tuple[str, ...] = ()
    """`Dataset.notes` of the data set that the evaluated images are from."""
    known: frozenset[Path] = frozenset()
    """Current paths of the images listed in split.csv."""

    known_trained: frozenset[Path] = frozenset()
    """The paths of those that were trained on."""

    @cached_property
    def is_trained(self) -> tuple[bool, ...]:
        """For each evaluated image, whether it was trained on, which makes figures optimistic."""
        trained = _places(self.train)
        return tuple(
            image.path in self.known_trained or os.path.realpath(image.path) in trained
            for image in self.reported.images
        )

    @property
    def trained(self) -> int:
        """The number of evaluated images that were trained on."""
        return sum(self.is_trained)

    @property
    def is_held_out(self) -> bool:
        """Whether split.csv records all evaluated images as held out."""
        return self.split in ("validation", "test") and all(
            image.path in self.known for image in self.reported.images
        )

    @property
    def own_split(self) -> str:
        """The split that the bundle's run was evaluated on, according to split.csv."""
        return "test" if self._recorded_in("test") else "validation"

    @property
    def is_whole_part(self) -> bool:
        """Whether the evaluated images are exactly those of their split in split.csv."""
        paths = {image.path for image in self.reported.images}
        return paths <= self.known and len(paths) >= self._recorded_in(self.split) > 0

    def _recorded_in(self, split: str) -> int:
        rows = read_table(self.folder / SPLIT_FILE) if self.source == SPLIT_FILE else []
        return len({row.get("path") for row in rows if row.get("split") == split})

    @property
    def recorded_images(self) -> str | None:
        """Where the run's images are, if split.csv holds some of them out; None if unknown."""
        named = _trained_on(self.bundle)
        if self.source != SPLIT_FILE or named is None or not os.path.exists(named):
            return None
        rows = read_table(self.folder / SPLIT_FILE)
        held_out = any(row.get("split") in ("validation", "test") for row in rows)
        return named if held_out else None

    @property
    def folder(self) -> Path:
        """The folder of the run's files, which is the bundle's."""
        return self.bundle.path.resolve().parent


def find_subject(
    bundle: Bundle,
    photos: str | PathLike[str],
    split: str | None = None,
    watcher: Watcher | None = None,
) -> Subject:
    """Open the images and find out which of them, and which others, were trained on.

    Args:
        split: the part to evaluate, or "all"; None takes test, else validation, else all.
        watcher: receives progress while the images are compared with those of the bundle's run.

    Raises:
        DatasetError: the images are not a data set.
        InputError: they are labelled for another task, there is no such part, or split.csv is
            damaged.
    """
    whole = Dataset.open(photos)
    # Checked before reading split.csv, which has the annotations of the bundle's task.
    task = task_of(bundle.manifest, bundle.path)
    check_task(whole, task, f"{whole.place}: the photos have")
    file = bundle.path.resolve().parent / SPLIT_FILE
    is_foreign = file.is_file() and _is_of_another_run(bundle, file.with_name(RUN_FILE))
    if is_foreign:
        found = Found(whole.images, whole.keep(()))
    else:
        found = find_recorded(whole, file, _trained_in(bundle), watcher)
    recorded = found.recorded
    is_recorded = bool(len(recorded) or found.gone)
    images = (
        _without_skipped(whole, found, file.with_name(SKIPPED_FILE))
        if is_recorded
        else found.images
    )
    if split is None:
        parts = {image.split for image in images}
        split = next((each for each in ("test", "validation") if each in parts), "all")
    chosen = [image for image in images if split in ("all", image.split)]
    if not chosen:
        raise InputError(f"{whole.place}: has no {split} photos; --split all takes every photo.")
    source = SPLIT_FILE if is_recorded else "the data set's splits" if whole.has_splits else ""
    known_parts = recorded if is_recorded else whole
    reported = whole.keep(chosen)
    is_own_folder = _is_same(_trained_on(bundle), photos)
    notes = list(found.notes)
    if not is_recorded and _trained_on(bundle) and not is_own_folder:
        beside = "is of another run" if is_foreign else "lists none of its photos"
        lack = f"next to the bundle {beside}" if file.is_file() else "is not next to the bundle"
        notes.append(
            f"split.csv {lack}, so it is not known whether the bundle was trained on any of these "
            "photos: the figures may be too good."
        )
    return Subject(
        bundle,
        split,
        reported,
        train=known_parts.subset("train"),
        validation=_other_than(reported, _known(known_parts.subset("validation"), bundle.classes)),
        source=source,
        gone=found.gone,
        is_of_training=not source and is_own_folder,
        notes=tuple(notes),
        image_notes=whole.notes,
        known=found.known,
        known_trained=frozenset(
            image.path
            for image in found.images
            if image.path in found.known and image.split == "train"
        ),
    )


def _is_of_another_run(bundle: Bundle, file: Path) -> bool:
    """Whether run.json is known to belong to another run than the bundle's."""
    own = bundle.manifest.provenance.get("run")
    try:
        with file.open("rb") as opened:
            other = json.loads(opened.read(RUN_LIMIT))["id"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
    return own is not None and own != other


def _trained_on(bundle: Bundle) -> str | None:
    """The path of the images that the bundle's run was given, unchanged."""
    data = bundle.manifest.provenance.get("dataset")
    named = data.get("photos") if isinstance(data, dict) else None
    return named if isinstance(named, str) else None


def _trained_in(bundle: Bundle) -> Path | None:
    """The folder that the names of the run's images are relative to."""
    named = _trained_on(bundle)
    if named is None:
        return None
    return Path(named).parent if named.lower().endswith((".csv", ".txt")) else Path(named)


def _is_same(named: str | None, photos: str | PathLike[str]) -> bool:
    return named is not None and os.path.realpath(named) == os.path.realpath(photos)


def _without_skipped(whole: Dataset, found: Found, skipped: Path) -> tuple[LabelledImage, ...]:
    """The images except those that the run skipped."""
    names = {original_path(row.get("path", "")) for row in read_table(skipped)}
    return tuple(
        image
        for image in found.images
        if image.path in found.known or whole.name_of(image) not in names
    )


def _known(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The data set, or an empty one if it has classes unknown to the bundle."""
    return dataset if set(dataset.classes) <= set(classes) else dataset.keep(())


def _places(dataset: Dataset) -> set[str]:
    return {os.path.realpath(image.path) for image in dataset.images}


def _other_than(reported: Dataset, dataset: Dataset) -> Dataset:
    """The images that are not evaluated."""
    seen = _places(reported)
    return dataset.keep(
        image for image in dataset.images if os.path.realpath(image.path) not in seen
    )
