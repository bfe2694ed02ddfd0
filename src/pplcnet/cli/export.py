"""Export a bundle's network to ONNX or LiteRT and compare it with Keras on real photos.

The exported network takes uint8 RGB images (N, height, width, 3) and returns its raw outputs, such
as logits. Normalisation is part of the graph; labels and preprocessing are in its metadata.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import check_place
from pplcnet.cli.arguments import CHANGED_BUNDLE_HELP, add_photos_option, scales
from pplcnet.cli.console import quiet_frameworks, without_chatter
from pplcnet.cli.output import show
from pplcnet.data.image_files import find_images
from pplcnet.errors import BundleError, InputError
from pplcnet.system.files import check_file
from pplcnet.system.wording import counted

__all__ = [
    "add_arguments",
    "add_format",
    "find_given_images",
    "report_dropped",
    "report_export",
    "run",
]

DETECTOR_FILES = {
    "detections": "with non-maximum suppression inside, which returns the objects in one call",
    "logits": "that returns the raw outputs of the head",
}
SEGMENTER_FILES = {
    "class_map": "that returns the class of each input pixel, as uint8",
    "probabilities": "that returns the probabilities of each input pixel",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help=CHANGED_BUNDLE_HELP)
    add_photos_option(
        parser,
        "a photo or a folder of photos, on which the exported network is compared with Keras; "
        "default: the photos that the bundle was trained on",
        older="images",
        required=False,
    )
    parser.add_argument(
        "--batch",
        default="1",
        metavar="1|dynamic",
        help="number of images per call; dynamic (any number) is slower. Default: 1",
    )
    add_format(parser)
    for kind, files in (("detector", DETECTOR_FILES), ("segmenter", SEGMENTER_FILES)):
        for form, what in files.items():
            parser.add_argument(
                f"--{form.replace('_', '-')}",
                metavar="FILE.onnx",
                help=f"exported {kind}s: only write an ONNX file {what}",
            )
    parser.add_argument(
        "--scales",
        type=scales,
        metavar="LIST",
        help="exported segmenters: only add networks for other input sizes, as multiples of the "
        "own one, such as 0.75,1,1.25, for 'predict --scales'",
    )
    parser.add_argument(
        "--pack",
        metavar="FILE.zip",
        help="also pack the bundle into one file; a bundle that is already exported is only packed",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the file that --pack names"
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the option for the format that 'export' and 'convert' write."""
    parser.add_argument(
        "--to",
        default="onnx",
        metavar="FORMAT",
        type=_format,
        help="onnx, which 'predict' runs, or tflite (also called litert), which adds a .tflite "
        "file. Default: onnx",
    )


def _format(text: str) -> str:
    """The name of a variant; "tflite" is the extension of its file."""
    if text not in ("onnx", "tflite", "litert"):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; it must be onnx or tflite")
    return "litert" if text == "tflite" else text


def run(arguments: argparse.Namespace) -> int:
    """Export, and print the parity figures."""
    if arguments.batch not in ("1", "dynamic"):
        raise InputError(f"--batch is {arguments.batch!r}; allowed are 1 and dynamic.")
    _check_together(arguments)
    if arguments.pack:
        _check_pack(Path(arguments.pack), overwrite=arguments.overwrite)
    if arguments.pack and _only_packs(arguments):
        show(f"packed      {Bundle.open(arguments.bundle).pack(arguments.pack)}")
        return 0
    if any(getattr(arguments, form) for form in (*DETECTOR_FILES, *SEGMENTER_FILES)):
        return _write_files(arguments)
    if arguments.scales:
        return _add_scales(arguments)
    before = Bundle.open(arguments.bundle)
    check_place(before.path)
    quiet_frameworks("export")
    images = find_given_images(arguments.images) if arguments.images else None
    with without_chatter("exporting and comparing with Keras"):
        if arguments.to == "litert":
            from pplcnet.exporting.litert import export_litert

            exported = export_litert(arguments.bundle, images)
        else:
            from pplcnet.exporting.export import export

            batch = None if arguments.batch == "dynamic" else 1
            exported = export(arguments.bundle, images, batch=batch)
    report_export(exported, arguments.to)
    report_dropped(before.manifest, exported.manifest, "made from the previous network")
    if arguments.pack:
        show(f"packed      {exported.pack(arguments.pack)}")
    return 0


def _check_together(arguments: argparse.Namespace) -> None:
    """Raise InputError for combinations in which one option would be ignored."""
    if arguments.overwrite and not arguments.pack:
        raise InputError("--overwrite needs --pack; give both.")
    alone = [
        f"--{name.replace('_', '-')}"
        for name in (*DETECTOR_FILES, *SEGMENTER_FILES)
        if getattr(arguments, name)
    ][:1]
    alone += ["--scales"] if arguments.scales else []
    others = alone[1:]
    others += ["--batch"] if arguments.batch != "1" else []
    others += ["--to"] if arguments.to != "onnx" else []
    others += ["--pack"] if arguments.pack else []
    if alone and others:
        raise InputError(f"{alone[0]} works only on its own; leave out {' and '.join(others)}.")


def _write_files(arguments: argparse.Namespace) -> int:
    images = find_given_images(arguments.images) if arguments.images else None
    from pplcnet.exporting import detector_files, segmenter_files

    for module, files in ((detector_files, DETECTOR_FILES), (segmenter_files, SEGMENTER_FILES)):
        for form in files:
            if out := getattr(arguments, form):
                check_file(Path(out))
                written = module.export_file(arguments.bundle, out, images, form=form)
                show(f"written     {written}")
    return 0


def _add_scales(arguments: argparse.Namespace) -> int:
    quiet_frameworks("export")
    images = find_given_images(arguments.images) if arguments.images else None
    from pplcnet.exporting.parity import describe_parity
    from pplcnet.exporting.scaled_networks import export_scales

    with without_chatter("exporting and comparing with Keras"):
        exported, figures = export_scales(arguments.bundle, arguments.scales, images)
    added = [scale for scale in arguments.scales if scale != 1]
    for scale, parity in zip(added, figures, strict=True):
        show(f"scale       {scale:g}: {describe_parity(parity)}")
    show(f"exported    {exported.path}")
    return 0


def _check_pack(target: Path, *, overwrite: bool) -> None:
    """Raise InputError if `target` cannot be written, or exists and must not be replaced."""
    check_file(target)
    if target.exists():
        try:
            Bundle.open(target)
        except BundleError as error:
            raise InputError(
                f"{target}: exists and is not a bundle; choose another place."
            ) from error
        if not overwrite:
            raise InputError(
                f"{target}: already holds a bundle; choose another place, or replace it with "
                "--overwrite."
            )


def _only_packs(arguments: argparse.Namespace) -> bool:
    """Whether the bundle already has its network, and no option asks for another."""
    is_plain = arguments.batch == "1" and arguments.to == "onnx" and not arguments.images
    return is_plain and "onnx" in Bundle.open(arguments.bundle).manifest.variants


def report_export(exported: Bundle, name: str = "onnx") -> None:
    """Show where the network is, how close to Keras it is, and how fast."""
    from pplcnet.exporting.parity import describe_parity

    variant = exported.variant(name)
    parity = variant["parity"]
    show(f"exported    {exported.path / variant['file']}")
    show(f"parity      {describe_parity(parity)}")
    latency = variant["latency"]
    show(
        f"latency     {latency['median_ms']} ms per image, {counted(latency['threads'], 'thread')}"
    )


def report_dropped(before: Manifest, after: Manifest, reason: str) -> None:
    """Show which variants and tuning a change has removed, and the commands to recreate them."""
    gone = sorted(set(before.variants) - set(after.variants))
    commands = {
        "litert": "pplcnet export --to tflite",
        "int8": "pplcnet quantize",
        "the tuning": "pplcnet tune",
    }
    if before.tuning and not after.tuning:
        gone.append("the tuning")
    if gone:
        files = [str(before.variants.get(each, {}).get("file", each)) for each in gone]
        were = "was" if len(gone) == 1 else "were"
        again = [f"'{commands[each]}'" for each in gone if each in commands]
        advice = f"; {' and '.join(again)} {'makes it' if len(again) == 1 else 'make them'} again"
        show(f"removed     {' and '.join(files)}, which {were} {reason}{advice if again else ''}")


def find_given_images(given: str) -> list[Path]:
    """A photo, or the photos in a folder; InputError if there are none."""
    path = Path(given)
    images = list(find_images(path)) if path.is_dir() else [path]
    if not path.exists() or not images:
        raise InputError(f"{path}: no photos there on which to compare the exported network.")
    return images
