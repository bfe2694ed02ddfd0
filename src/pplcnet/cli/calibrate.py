"""Fit a bundle's temperature on labelled photos, so that its probabilities mean something.

'train' does this by itself; for bundles from 'convert', or for photos that have changed.
"""

from __future__ import annotations

import argparse

from pplcnet.cli.tune import validation_part

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("bundle", metavar="BUNDLE", help="an exported bundle folder")
    parser.add_argument(
        "--validation",
        required=True,
        metavar="PHOTOS",
        help="labelled photos, as 'train' takes them; their validation split where there is one",
    )


def run(arguments: argparse.Namespace) -> int:
    """Calibrate and print the figures."""
    from pplcnet.deployment.calibrating import calibrate

    facts = calibrate(arguments.bundle, validation_part(arguments.validation)).manifest.calibration
    print(
        f"temperature {facts['temperature']:.3f}, fitted on {facts['images']} photos; calibration "
        f"error {facts['error_before']:.3f} before, {facts['error_after']:.3f} after"
    )
    return 0
