"""Labelled photos for verbs that evaluate or change a bundle."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import check_place
from pplcnet.cli.arguments import CHANGED_BUNDLE_HELP, add_photos_option, number
from pplcnet.cli.console import Console
from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError, InputError
from pplcnet.system.wording import counted, listed

if TYPE_CHECKING:
    from pplcnet.reports.report_data import Subject

__all__ = [
    "add_bundle_and_validation",
    "add_max_drop",
    "add_skip_broken",
    "find_validation",
    "note_training_photos",
    "readable",
]

NAMED_BROKEN = 5
NAMED_CLASSES = 20


def add_bundle_and_validation(parser: argparse.ArgumentParser) -> None:
    """Add the bundle to change, and the photos that decide about it."""
    parser.add_argument("bundle", metavar="BUNDLE", help=CHANGED_BUNDLE_HELP)
    add_photos_option(
        parser,
        "labelled photos, as 'train' takes them. The verb uses the validation split (from "
        "split.csv next to the bundle, or the photos' own), or else all photos that were not "
        "trained on",
        older="validation",
    )
    add_skip_broken(parser)


def add_skip_broken(parser: argparse.ArgumentParser) -> None:
    """Add the option for skipping unreadable photos."""
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave out photos that cannot be read, and name them",
    )


def add_max_drop(parser: argparse.ArgumentParser) -> None:
    """Add the option for how much accuracy quantising and tuning may lose."""
    parser.add_argument(
        "--max-drop",
        type=number(0, 1),
        metavar="D",
        help="how far the accuracy on the validation photos may fall below that of float32 (top-1; "
        "for multi-label bundles mAP and the share of right labels; for detectors AP and the F1 of "
        "the displayed boxes; for segmenters mIoU). Default: 0.005; for detectors 0.01",
    )


class ValidationPhotos(NamedTuple):
    """The photos that decide about a change to a bundle, and its training photos."""

    validation: Dataset
    training: list[Path]
    """Where the run's training photos are now; empty if unknown."""


def find_validation(arguments: argparse.Namespace) -> ValidationPhotos:
    """Find the photos that decide about a change to a bundle; none from its training, if possible.

    Prints how many of them were used in training.

    Raises:
        InputError: it was trained on all of them, or their classes are not the bundle's.
        BundleError: the bundle cannot be changed, or has no exported network.
    """
    from pplcnet.exporting.images import match_validation
    from pplcnet.reports.report_data import find_subject
    from pplcnet.runtime.selection import DEFAULT

    console = Console()
    bundle = Bundle.open(arguments.bundle)
    check_place(bundle.path)
    bundle.variant(DEFAULT.variant)
    subject = find_subject(bundle, arguments.validation, "all", console)
    images = subject.reported.images
    held_out = [image for image in images if image.split == "validation"]
    others = [image for image in images if image.split != "train"]
    subject = replace(subject, reported=subject.reported.keep(held_out or others or images))
    if subject.trained and subject.trained == len(subject.reported):
        raise InputError(_all_trained_on(subject, arguments.validation))
    validation = readable(subject.reported, arguments.skip_broken, console)
    match_validation(bundle, validation)
    note_training_photos(subject, console)
    used = {os.path.realpath(image.path) for image in validation.images}
    training = [image.path for image in subject.train.images] if subject.known else []
    return ValidationPhotos(
        validation, [path for path in training if os.path.realpath(path) not in used]
    )


def _all_trained_on(subject: Subject, photos: str) -> str:
    """The message for photos that were all trained on, naming the photos to give instead."""
    count = counted(subject.trained, "photo")
    whole = f"all {count} were" if subject.trained > 1 else f"the only {count.split()[1]} was"
    advice = "give labelled photos that it was not trained on"
    recorded = subject.recorded_images
    if recorded and os.path.realpath(recorded) != os.path.realpath(photos):
        advice = f"give --photos {shlex.quote(recorded)}, of which its run held some out"
    return f"{photos}: {whole} used to train the bundle, so they cannot validate it; {advice}."


def note_training_photos(subject: Subject, console: Console) -> None:
    """Print notes on the photos, and why figures are or may be too optimistic."""
    for note in (*subject.image_notes, *subject.notes):
        console.say(f"note: {note}")
    if subject.trained:
        were = "was" if subject.trained == 1 else "were"
        console.say(
            f"note: {subject.trained} of these {counted(len(subject.reported), 'photo')} "
            f"{were} trained on, which makes the figures too good."
        )
    if subject.is_of_training:
        console.say(
            "note: the bundle was trained on photos of this folder, but it is not known on which "
            "(its run's split.csv is not next to it): the figures may be too good."
        )


def readable(dataset: Dataset, skip_broken: bool, console: Console) -> Dataset:
    """The data set; with --skip-broken, without unreadable photos, which are reported."""
    if not skip_broken or not len(dataset):
        return dataset
    from pplcnet.data.audit import leave_out_broken

    kept, broken = leave_out_broken(
        dataset, progress=lambda looks, total: console.watch(looks, total, "open photos")
    )
    if not len(kept):
        raise DatasetError(
            f"{dataset.place}: none of {counted(len(dataset), 'photo')} can be read."
        )
    for line in broken[:NAMED_BROKEN]:
        console.say(f"left out {line}")
    if len(broken) > NAMED_BROKEN:
        console.say(f"and {len(broken) - NAMED_BROKEN} more")
    counts = zip(dataset.classes, dataset.class_counts(), kept.class_counts(), strict=True)
    gone = [repr(name) for name, before, after in counts if before and not after]
    if gone:
        console.say(f"classes left without photos: {listed(gone, NAMED_CLASSES)}")
    return kept
