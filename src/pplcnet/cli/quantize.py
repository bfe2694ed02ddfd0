"""Add the INT8 network that is fastest on this machine, if its accuracy holds, then tune.

Several quantisation schemes are timed on this processor. The fastest is calibrated on the photos
that the bundle was trained on, or on those of --calibration, and its accuracy is measured on up to
2000 validation photos, evenly sampled. If the network is faster without INT8, as with bfloat16 on
some processors, no INT8 network is made. Either way the bundle ends up tuned: 'predict' uses the
fastest network in it.
"""

from __future__ import annotations

import argparse

from pplcnet.cli.int8_options import add_search, check_installed, try_int8
from pplcnet.cli.tune import tune_and_show
from pplcnet.cli.validation import add_bundle_and_validation, add_max_drop, find_validation

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_bundle_and_validation(parser)
    add_search(parser)
    add_max_drop(parser)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Quantise, tune and print the figures."""
    check_installed()
    found = find_validation(arguments)
    trials = try_int8(arguments, found)
    tune_and_show(arguments, found.validation, trials)
    return 0
