"""Add photos of existing or new classes to a gallery. Photos that it already has are left out."""

from __future__ import annotations

import argparse

from pplcnet.cli.console import Console
from pplcnet.cli.gallery.opening import (
    GALLERY_HELP,
    add_bundle,
    add_class_photos,
    find_photos,
    open_model,
)
from pplcnet.cli.output import show, show_page
from pplcnet.system.wording import counted

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help=GALLERY_HELP)
    add_class_photos(parser)
    add_bundle(parser)


def run(arguments: argparse.Namespace) -> int:
    """Add the photos, and show what the gallery now holds."""
    from pplcnet.gallery.changing import add_to_gallery

    console = Console()
    photos = find_photos(arguments, console)
    model = open_model(arguments, console)
    made = add_to_gallery(
        arguments.gallery,
        model,
        photos,
        progress=lambda each: console.watch(each, len(photos), "embed"),
    )
    known = f", {made.known} already in it left out" if made.known else ""
    show(f"{counted(made.added, 'photo')} added{known}")
    show_page(made.gallery.to_text())
    return 0
