"""Add an INT8 network to an exported bundle, if its accuracy holds.

Accuracy is measured on up to 2000 validation photos, evenly chosen. The quantisation ranges come
from photos that the bundle was trained on, or from --calibration. The figures are stored in the
bundle. 'pplcnet tune' then shows whether INT8 is faster on this machine.
"""

from __future__ import annotations

import argparse
import shlex

from pplcnet.cli.console import Console
from pplcnet.cli.output import show
from pplcnet.cli.validation import add_bundle_and_validation, add_max_drop, find_validation
from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError, require

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_bundle_and_validation(parser)
    parser.add_argument(
        "--calibration",
        metavar="FOLDER",
        help="photos for the quantisation ranges, without labels; default: the training photos",
    )
    add_max_drop(parser)


def run(arguments: argparse.Namespace) -> int:
    """Quantise and print the figures."""
    # NNCF and OpenVINO would import it themselves; here its absence gets a sentence.
    require("onnx", purpose="quantising", extra="quantize")
    from pplcnet.exporting.quantization import quantize

    validation, calibration = find_validation(arguments)
    if arguments.calibration:
        calibration = list(find_images(arguments.calibration))
        if not calibration:
            raise InputError(f"{arguments.calibration}: no photos there to calibrate with.")
    console = Console()
    with console.busy("quantising"):
        bundle = quantize(
            arguments.bundle,
            validation,
            calibration=calibration or None,
            max_drop=arguments.max_drop,
            report=console.say,
        )
    variant = bundle.variant("int8")
    figures = variant["accuracy"]
    show(f"quantised   {bundle.path / variant['file']} ({variant['method']})")
    from pplcnet.tasks import find

    measure = find(bundle.manifest.task).measure
    show(
        f"{measure.title:<11} {figures[measure.key]:.4f} on {figures['images']} validation "
        f"photos, float32 {figures[f'float32_{measure.key}']:.4f}; "
        f"{figures['agreement']:.1%} of the predictions agree with float32"
    )
    command = ["pplcnet", "tune", str(bundle.path), "--photos", arguments.validation]
    show(f"next        {shlex.join(command)}")
    return 0
