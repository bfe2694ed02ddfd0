"""Selects the photos that an exported network is compared, calibrated and judged on."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError, InputError
from pplcnet.tasks import task_of
from pplcnet.tasks.evaluate import check_task

__all__ = [
    "VALIDATION_LIMIT",
    "check_max_drop",
    "choose_images",
    "evenly_chosen",
    "match_validation",
    "recorded_images",
    "training_images",
]

Item = TypeVar("Item")

PARITY_IMAGES = 64
VALIDATION_LIMIT = 2000
"""Photos that decide on a precision; all are in memory at once, 300 MB at 224 pixels."""


def match_validation(bundle: Bundle, validation: Dataset) -> Dataset:
    """The validation photos with the bundle's classes in the bundle's order.

    Raises:
        InputError: there are no photos, or their classes have other names than the bundle's.
    """
    if not len(validation):
        raise InputError(f"{validation.place}: no validation photos there.")
    check_task(
        validation,
        task_of(bundle.manifest, bundle.path),
        f"{validation.place}: the validation photos have",
    )
    if set(validation.classes) != set(bundle.classes):
        raise InputError(
            f"{validation.place}: the validation photos have the classes "
            f"{', '.join(validation.classes)}; the bundle has {', '.join(bundle.classes)}. Give "
            "photos of exactly these classes, under these names."
        )
    return validation.with_classes(bundle.classes)


def check_max_drop(max_drop: float | None) -> None:
    """InputError for a value outside 0 to 1; None means the task's own."""
    if max_drop is not None and not 0 <= max_drop <= 1:
        raise InputError(f"max_drop is {max_drop}; it must be from 0 to 1.")


def choose_images(
    bundle: Bundle, images: Sequence[str | PathLike[str]] | None
) -> list[str | PathLike[str]]:
    """Photos to compare on, at most 64, evenly sampled; None means the training photos."""
    given = recorded_images(bundle) if images is None else images
    if not given:
        raise InputError(
            f"{bundle.path}: no photos on which to compare the exported network; give some."
        )
    return evenly_chosen(given, PARITY_IMAGES)


def evenly_chosen(given: Sequence[Item], limit: int) -> list[Item]:
    """At most `limit` items, evenly spaced from first to last, as data sets are sorted by class."""
    count = min(len(given), limit)
    return [given[at * len(given) // count] for at in range(count)]


def training_images(bundle: Bundle, held_out: Sequence[str | PathLike[str]]) -> list[Path]:
    """The photos that the bundle was trained on, without other splits and `held_out`."""
    left_out = {Path(each).resolve() for each in held_out}
    return [
        image.path
        for image in _recorded(bundle).images
        if image.split in (None, "train") and image.path.resolve() not in left_out
    ]


def recorded_images(bundle: Bundle) -> list[Path]:
    """The photos of all splits of the bundle's run, if they still exist."""
    return [image.path for image in _recorded(bundle).images]


def _recorded(bundle: Bundle) -> Dataset:
    """The photos of the bundle's data set, if they still exist.

    If a run's split.csv is beside the bundle, photos that the audit left out are not included.
    """
    beside = bundle.path.resolve().parent / "split.csv"
    recorded = (bundle.manifest.provenance.get("dataset") or {}).get("photos")
    if recorded and beside.is_file():
        try:
            return Dataset.open(beside)
        except DatasetError as error:
            raise InputError(
                f"{bundle.path}: {len(error.faults)} of the photos that {beside} lists are not "
                "where they were; give others with --photos FOLDER (for 'quantize': "
                "--calibration FOLDER)."
            ) from error
    photos = Path(recorded) if recorded else None
    if photos is None or not photos.exists():
        raise InputError(
            f"{bundle.path}: the photos that it was trained on ({recorded}) are not here; give "
            "others to compare the exported network on."
        )
    return Dataset.open(photos)
