"""Remove whole classes or single photos from a gallery."""

from __future__ import annotations

import argparse

from pplcnet.cli.gallery.opening import GALLERY_HELP
from pplcnet.cli.output import show_page
from pplcnet.errors import InputError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help=GALLERY_HELP)
    parser.add_argument(
        "--class",
        dest="labels",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="classes to remove with all of their photos",
    )
    parser.add_argument(
        "--photo",
        dest="names",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="photos to remove, named as 'gallery show GALLERY --names' lists them",
    )


def run(arguments: argparse.Namespace) -> int:
    """Remove, and show what the gallery now holds."""
    from pplcnet.gallery.changing import remove_from_gallery

    if not arguments.labels and not arguments.names:
        raise InputError("nothing to remove; name it with --class NAME or --photo NAME.")
    gallery = remove_from_gallery(
        arguments.gallery, classes=arguments.labels, photos=arguments.names
    )
    show_page(gallery.to_text())
    return 0
