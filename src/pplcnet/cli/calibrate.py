"""Fit a bundle's temperature on labelled photos, so that its probabilities match its accuracy.

For multi-label bundles it also chooses the threshold of each label again. 'train' already does
this; use this verb for bundles from 'convert', or when the photos have changed. If the photos that
the bundle was trained on are still in place, it also measures what is typical of them, so that
'predict' can say that a photo is unlike anything trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.cli.console import Console
from pplcnet.cli.output import show
from pplcnet.cli.validation import add_bundle_and_validation, find_validation
from pplcnet.errors import InputError

if TYPE_CHECKING:
    from pplcnet.bundle.bundle import Bundle
    from pplcnet.data.dataset import Dataset

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_bundle_and_validation(parser)


def run(arguments: argparse.Namespace) -> int:
    """Calibrate and print the figures."""
    from pplcnet.bundle.bundle import Bundle
    from pplcnet.cli.export import report_dropped
    from pplcnet.exporting.calibrating import calibrate
    from pplcnet.metrics.calibration import describe_calibration

    before = Bundle.open(arguments.bundle).manifest
    validation = find_validation(arguments).validation
    console = Console()
    training = _training_photos(Bundle.open(arguments.bundle), validation, console)
    with console.busy("calibrating"):
        manifest = calibrate(arguments.bundle, validation, training=training).manifest
    show(describe_calibration(manifest.calibration))
    for key, value in manifest.decoding.items():
        if isinstance(value, dict):  # one per class, such as thresholds
            show(f"{key:<12}{', '.join(f'{name} {each:.3f}' for name, each in value.items())}")
    report_dropped(before, manifest, "judged by the previous answers")
    return 0


def _training_photos(bundle: Bundle, validation: Dataset, console: Console) -> list[Path]:
    """The bundle's training photos; none, with a note, if they are not in place."""
    from pplcnet.exporting.images import training_images
    from pplcnet.tasks.task import EMBEDDING

    if EMBEDDING not in bundle.manifest.outputs:
        console.say(
            "note: what is typical of the training photos is not measured: the network was "
            f"exported without the embedding; 'pplcnet export {bundle.path}' exports it again."
        )
        return []
    try:
        return training_images(bundle, [image.path for image in validation.images])
    except InputError:
        console.say(
            "note: what is typical of the training photos is not measured: they are no longer "
            "where they were."
        )
        return []
