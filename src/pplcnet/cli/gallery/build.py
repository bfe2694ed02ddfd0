"""Make a gallery that recognises classes which the network need not have been trained on.

PHOTOS is a folder with a subfolder for each class; a few photos of each are enough. 'gallery
search' then recognises a new photo by the most similar photo of the gallery. If even that one is
not similar enough, the answer is "none of these". The threshold for that is chosen on the gallery's
own photos: each is compared with the photos of all other classes, which simulates a photo of an
unknown class.
"""

from __future__ import annotations

import argparse

from pplcnet.cli.arguments import BUNDLE_HELP, add_threads, number
from pplcnet.cli.console import Console
from pplcnet.cli.gallery.opening import add_class_photos, find_photos
from pplcnet.cli.output import show, show_page

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    add_class_photos(parser)
    parser.add_argument("--out", metavar="GALLERY", required=True, help="the gallery's folder")
    parser.add_argument(
        "--false-acceptance",
        type=number(0.0001, 0.5),
        default=0.05,
        metavar="RATE",
        help="share of photos of unknown classes that may be accepted as one of the gallery's; "
        "default: 0.05",
    )
    parser.add_argument(
        "--storage",
        choices=("float32", "float16"),
        default="float32",
        help="number format of the stored vectors; float16 takes half the space; default: float32",
    )
    parser.add_argument("--engine", metavar="NAME", help="as for 'predict', like --precision")
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="precision of the network; the gallery is then always used in this precision",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the gallery at --out")
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Build the gallery, and explain its threshold."""
    from pplcnet.gallery.changing import build_gallery
    from pplcnet.runtime.model import load

    console = Console()
    photos = find_photos(arguments, console)
    with console.busy("opening the network"):
        model = load(
            arguments.bundle,
            threads=arguments.threads,
            engine=arguments.engine,
            precision=arguments.precision,
        )
    made = build_gallery(
        model,
        photos,
        arguments.out,
        bundle=arguments.bundle,
        false_acceptance=arguments.false_acceptance,
        dtype=arguments.storage,
        overwrite=arguments.overwrite,
        progress=lambda each: console.watch(each, len(photos), "embed"),
    )
    if made.known:
        show(f"{made.known} copies of photos left out")
    show_page(made.gallery.to_text())
    return 0
