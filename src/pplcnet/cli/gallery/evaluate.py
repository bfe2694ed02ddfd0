"""Measure how well a gallery recognises its classes and rejects photos of others.

PHOTOS is a folder with a subfolder for each class. Photos of the gallery's classes count as known,
all others as unknown; without unknown ones, the figures about them are missing. Photos that are in
the gallery are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pplcnet.cli.console import Console
from pplcnet.cli.gallery.opening import (
    GALLERY_HELP,
    add_bundle,
    add_class_photos,
    find_photos,
    open_model,
)
from pplcnet.cli.output import show, show_json, show_page
from pplcnet.errors import DatasetError
from pplcnet.system.files import check_file, write_text
from pplcnet.system.wording import counted

if TYPE_CHECKING:
    from pplcnet.gallery.class_photos import ClassPhoto
    from pplcnet.gallery.evaluation import LabelledVector
    from pplcnet.runtime.model import Model

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help=GALLERY_HELP)
    add_class_photos(parser, ", known and unknown")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--out", metavar="FILE.json", help="write the figures as JSON too")
    add_bundle(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the figures."""
    from pplcnet.gallery.changing import photos_not_in
    from pplcnet.gallery.evaluation import evaluate_gallery
    from pplcnet.gallery.gallery import Gallery

    console = Console()
    if arguments.out:
        check_file(arguments.out)
    photos = find_photos(arguments, console)
    model = open_model(arguments, console)
    gallery = Gallery.open(arguments.gallery)
    new = photos_not_in(gallery, photos)
    if len(new) < len(photos):
        console.say(
            f"{counted(len(photos) - len(new), 'photo')} that the gallery contains left out"
        )
    found = evaluate_gallery(gallery, _vectors(model, new, console))
    text = json.dumps(found.to_dict(), indent=2)
    if arguments.out:
        write_text(arguments.out, text + "\n")
    if arguments.json:
        show_json(found.to_dict(), indent=2)
    else:
        show_page(found.to_text())
        if arguments.out:
            show(f"written to {arguments.out}")
    return 0


def _vectors(
    model: Model[Any], photos: Sequence[ClassPhoto], console: Console
) -> Iterator[LabelledVector]:
    from pplcnet.gallery.evaluation import LabelledVector

    faults = []
    embeddings = console.watch(
        model.embed_many([photo.path for photo in photos]), len(photos), "embed"
    )
    for photo, each in zip(photos, embeddings, strict=True):
        if each.error is None:
            yield LabelledVector(photo.label, each.vector)
        else:
            faults.append(str(each.error))
    if faults:
        raise DatasetError(
            f"{counted(len(faults), 'photo')} cannot be read; repair or remove them:", faults
        )
