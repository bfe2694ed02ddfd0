"""Convert a weights file from Keras, timm, transformers, Paddle or pplcnet to a bundle.

A PaddleDetection detector is given as its .pdparams, or as an .onnx with or without non-maximum
suppression.

Classes and preprocessing come from the inference.yml next to an inference model, or from options.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import check_place
from pplcnet.cli.arguments import add_photos_option, size
from pplcnet.cli.console import Console, quiet_frameworks, without_chatter
from pplcnet.cli.export import add_format, find_given_images, report_export
from pplcnet.cli.output import show
from pplcnet.errors import InputError
from pplcnet.system.wording import counted

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help=".keras, .weights.h5, .pdparams, .npz, .safetensors, an inference model (its folder, "
        "inference.json or .pdmodel), or the .onnx of a PicoDet",
    )
    parser.add_argument("--model", metavar="NAME", help="the network, if the file does not name it")
    parser.add_argument("--out", required=True, metavar="BUNDLE", help="the bundle to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle in --out")
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="class names in the order of the outputs: a,b,c or a file with one name per line",
    )
    add_photos_option(
        parser,
        "a photo or a folder of photos, on which the exported network is compared with Keras; "
        "without it nothing is exported",
        older="images",
        required=False,
    )
    add_format(parser)
    group = parser.add_argument_group("preprocessing, if the file does not specify it")
    group.add_argument(
        "--image-size",
        type=size,
        metavar="SIZE",
        help="input size in pixels, as 320 or 256x320 (height x width)",
    )
    group.add_argument(
        "--resize", choices=("cover", "stretch"), help="default: the usual one for the file format"
    )
    group.add_argument(
        "--crop-fraction",
        type=float,
        metavar="F",
        help="share of the short side that the centre crop keeps, with --resize cover",
    )
    group.add_argument(
        "--interpolation",
        choices=(
            "shrunk-bilinear",
            "pillow-bilinear",
            "pillow-bicubic",
            "opencv-bilinear",
            "opencv-bicubic",
        ),
    )
    group.add_argument(
        "--mean", type=float, nargs=3, metavar="M", help="of R, G and B, for pixels from 0 to 1"
    )
    group.add_argument(
        "--std", type=float, nargs=3, metavar="S", help="of R, G and B, for pixels from 0 to 1"
    )


PREPROCESSING = ("image_size", "resize", "crop_fraction", "interpolation", "mean", "std")


def run(arguments: argparse.Namespace) -> int:
    """Convert; with photos, also export and print the parity figures."""
    if arguments.model is not None:
        from pplcnet.models.catalog import backbone_of

        backbone_of(arguments.model)
    file = Path(arguments.file)
    if not file.exists():
        raise InputError(f"{file}: no such file or folder.")
    if arguments.to == "litert" and not arguments.images:
        raise InputError("--to litert needs photos to compare the network on: --photos PHOTOS.")
    check_place(Path(arguments.out), overwrite=arguments.overwrite)
    classes = _read_classes(arguments.classes) if arguments.classes else None
    images = find_given_images(arguments.images) if arguments.images else []
    given = {name: getattr(arguments, name) for name in PREPROCESSING}
    changes = {name: value for name, value in given.items() if value is not None}
    quiet_frameworks("converting weights")
    from pplcnet.weights.conversion import convert

    with Console().busy("converting"):
        bundle = convert(
            file,
            arguments.out,
            network=arguments.model,
            classes=classes,
            preprocessing=changes,
            overwrite=arguments.overwrite,
        )
    _describe(bundle, is_assumed=file.suffix in (".keras", ".h5"))
    if not images:
        show(f"next        pplcnet export {bundle.path} --photos PHOTOS")
        return 0
    from pplcnet.exporting.export import export

    with Console().busy("exporting and comparing with Keras"):
        exported = export(bundle, images)
    report_export(exported)
    if arguments.to == "litert":
        from pplcnet.exporting.litert import export_litert

        with without_chatter("exporting to LiteRT and comparing with Keras"):
            exported = export_litert(bundle.path, images)
        report_export(exported, "litert")
    return 0


def _describe(bundle: Bundle, *, is_assumed: bool) -> None:
    """Show what was written and how photos are prepared for it."""
    made, pre = bundle.manifest, bundle.manifest.preprocessing
    height, width = pre.image_size
    resize = f"cover {pre.crop_fraction:g}" if pre.resize == "cover" else "stretch"
    mean, std = (", ".join(f"{each:.4g}" for each in values) for values in (pre.mean, pre.std))
    show(
        f"bundle      {bundle.path}: {made.network['name']}, {counted(len(made.classes), 'class')}"
    )
    show(f"photos      {height}x{width}, {resize}, {pre.interpolation}, mean {mean}, std {std}")
    if is_assumed:
        show(
            "            assumed, because the file does not specify the preprocessing: change it "
            "with --resize, --crop-fraction, --interpolation, --mean, --std"
        )


def _read_classes(given: str) -> list[str]:
    """Class names separated by commas, or the lines of a file."""
    path = Path(given)
    if not path.exists() and "," in given:
        return [name.strip() for name in given.split(",")]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"--classes {given}: is neither a file with one name per line ({error}) nor names "
            "separated by commas."
        ) from error
    return [line.strip() for line in lines if line.strip()]
