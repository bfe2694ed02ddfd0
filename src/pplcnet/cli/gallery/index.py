"""Make searches in a very large gallery faster on this machine.

A search compares a photo with every photo of the gallery, which takes noticeable time with some
hundred thousand photos or more. With an index, only likely matches are compared; occasionally the
most similar photo is missed. The index is stored in this machine's cache. After the gallery
changes, run this again: only what has changed is indexed; until then, new photos are compared
without the index. Needs usearch (extra 'index').
"""

from __future__ import annotations

import argparse

from pplcnet.cli.console import Console
from pplcnet.cli.gallery.opening import GALLERY_HELP
from pplcnet.cli.output import show
from pplcnet.system.wording import counted

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help=GALLERY_HELP)


def run(arguments: argparse.Namespace) -> int:
    """Index the parts without an index."""
    from pplcnet.gallery.gallery import Gallery
    from pplcnet.gallery.index import LEAST_ROWS, build_indexes

    gallery = Gallery.open(arguments.gallery)
    parts = build_indexes(gallery.manifest, gallery.vectors)
    indexed = new = 0
    for part, is_new in Console().watch(parts, len(gallery.manifest.parts), "index"):
        indexed += part.rows if part.rows >= LEAST_ROWS else 0
        new += part.rows if is_new else 0
    show(
        f"{arguments.gallery}: {counted(indexed, 'photo')} of {len(gallery)} indexed, {new} of "
        "them now; the others are compared one by one"
    )
    return 0
