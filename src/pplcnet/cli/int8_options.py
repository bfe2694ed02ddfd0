"""The search for a quantisation scheme, as offered by `quantize` and `tune --int8`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pplcnet.cli.arguments import number
from pplcnet.cli.console import Console
from pplcnet.cli.output import show
from pplcnet.cli.validation import ValidationPhotos
from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError, require

if TYPE_CHECKING:
    from pplcnet.exporting.int8_trial import Trial

__all__ = ["add_search", "check_installed", "check_int8_asked", "try_int8"]

MINUTES = 10.0


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the search."""
    parser.add_argument(
        "--calibration",
        metavar="FOLDER",
        help="photos for the quantisation ranges, without labels; default: the training photos",
    )
    parser.add_argument(
        "--keep-slower",
        action="store_true",
        help="add an INT8 network even where it is not the fastest on this processor",
    )
    parser.add_argument(
        "--minutes",
        type=number(0.1, 1000),
        metavar="M",
        help="try no further quantisation scheme after this time. Default: 10",
    )


def check_int8_asked(arguments: argparse.Namespace) -> None:
    """Raise InputError for arguments of the search if no search was asked for."""
    for name in ("calibration", "keep_slower", "minutes"):
        if getattr(arguments, name) and not arguments.int8:
            raise InputError(f"--{name.replace('_', '-')} needs --int8; give both.")


def check_installed() -> None:
    """Raise MissingDependencyError if the quantiser is not installed, before any photo is read."""
    # NNCF and OpenVINO would import it themselves; this gives a clear message if it is missing.
    require("onnx", purpose="quantising", extra="quantize")


def try_int8(arguments: argparse.Namespace, found: ValidationPhotos) -> list[Trial]:
    """Search; print what was found and whether an INT8 network was added; return the trials."""
    check_installed()
    from pplcnet.exporting.int8_search import quantize_fastest

    calibration = found.training
    if arguments.calibration:
        calibration = list(find_images(arguments.calibration))
        if not calibration:
            raise InputError(f"{arguments.calibration}: no photos there for calibration.")
    console = Console()
    with console.busy("quantising"):
        search = quantize_fastest(
            arguments.bundle,
            found.validation,
            calibration=calibration or None,
            max_drop=arguments.max_drop,
            keep_slower=arguments.keep_slower,
            minutes=MINUTES if arguments.minutes is None else arguments.minutes,
            report=console.say,
        )
    if not arguments.json:
        _show_trials(search.trials)
        show(f"{search.verdict}.")
    return search.trials


def _show_trials(trials: list[Trial]) -> None:
    show(f"{'quantised':<24} {'precision':<14} {'ms':>8} {'images/s':>9} {'accuracy':>9}")
    for trial in trials:
        ms = "-" if trial.median_ms is None else f"{trial.median_ms:.3f}"
        rate = "-" if trial.images_per_second is None else f"{trial.images_per_second:.0f}"
        accuracy = "-" if trial.accuracy is None else f"{trial.accuracy:.4f}"
        show(
            f"{trial.way or '-':<24} {trial.precision:<14} {ms:>8} {rate:>9} {accuracy:>9}  "
            f"{trial.verdict}".rstrip()
        )
