"""Fit a bundle's temperature on labelled photos, so that its probabilities match its accuracy.

For multi-label bundles the threshold of each label is chosen again, too. 'train' does this itself;
use this verb for bundles from 'convert', or when the photos have changed.
"""

from __future__ import annotations

import argparse

from pplcnet.cli.console import Console
from pplcnet.cli.output import show
from pplcnet.cli.validation import add_bundle_and_validation, find_validation

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_bundle_and_validation(parser)


def run(arguments: argparse.Namespace) -> int:
    """Calibrate and print the figures."""
    from pplcnet.bundle.bundle import Bundle
    from pplcnet.cli.export import report_dropped
    from pplcnet.exporting.calibrating import calibrate
    from pplcnet.metrics.calibration import describe_calibration

    before = Bundle.open(arguments.bundle).manifest
    validation = find_validation(arguments).validation
    with Console().busy("calibrating"):
        manifest = calibrate(arguments.bundle, validation).manifest
    show(describe_calibration(manifest.calibration))
    for key, value in manifest.decoding.items():
        if isinstance(value, dict):  # one for each class, such as thresholds
            show(f"{key:<12}{', '.join(f'{name} {each:.3f}' for name, each in value.items())}")
    report_dropped(before, manifest, "judged by the previous answers")
    return 0
