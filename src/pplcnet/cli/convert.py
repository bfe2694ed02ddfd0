"""A weights file to a bundle: official, timm's, transformers', Paddle inference models, ours.

Classes and preprocessing come from the inference.yml beside an inference model, or are given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pplcnet.bundle import check_place
from pplcnet.cli.arguments import add_photos_option
from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.export import add_format, find_given_images, report_export
from pplcnet.errors import InputError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help=".pdparams, .npz, .safetensors, a bundle, or an inference model (its folder, "
        "inference.json or .pdmodel)",
    )
    parser.add_argument("--model", metavar="NAME", help="the network, where the file is silent")
    parser.add_argument("--out", required=True, metavar="BUNDLE", help="the bundle to write")
    parser.add_argument("--classes", metavar="FILE", help="class names, one a line")
    add_photos_option(
        parser,
        "a photo or a folder of photos to compare the exported network with Keras on",
        older="images",
    )
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Convert, export, print the parity figures."""
    if arguments.model is not None:
        from pplcnet.models.catalog import find

        find(arguments.model)
    if not Path(arguments.file).exists():
        raise InputError(f"{arguments.file}: no such file or folder.")
    check_place(Path(arguments.out))
    classes = _read_classes(arguments.classes) if arguments.classes else None
    images = find_given_images(arguments.images)
    quiet_frameworks("converting weights")
    from pplcnet.deployment.exporting import export
    from pplcnet.weights.conversion import convert

    with Console().busy("converting and comparing with Keras"):
        bundle = convert(arguments.file, arguments.out, network=arguments.model, classes=classes)
        exported = export(bundle, images)
    report_export(exported)
    if arguments.to == "litert":
        from pplcnet.deployment.litert import export_litert

        report_export(export_litert(bundle.path, images), "litert")
    return 0


def _read_classes(path: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    return [line.strip() for line in lines if line.strip()]
