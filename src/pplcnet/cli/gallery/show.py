"""Show what a gallery contains and verify the checksum of every file."""

from __future__ import annotations

import argparse
import json

from pplcnet.cli.gallery.opening import GALLERY_HELP
from pplcnet.cli.output import show, show_json, show_page

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help=GALLERY_HELP)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--names", action="store_true", help="print the name of every photo")
    form.add_argument("--json", action="store_true", help="print gallery.json")


def run(arguments: argparse.Namespace) -> int:
    """Verify and describe the gallery."""
    from pplcnet.gallery.gallery import Gallery

    gallery = Gallery.open(arguments.gallery)
    if arguments.json:
        show_json(json.loads(gallery.manifest.to_json()), indent=2)
    elif arguments.names:
        for photo in gallery.photos:
            show(photo)
    else:
        show_page(gallery.to_text())
        for name, count in gallery.manifest.classes.items():
            show(f"  {count:>7}  {name}")
    return 0
