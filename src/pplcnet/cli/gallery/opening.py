"""Open a gallery's network in the gallery's precision, and find photos for it."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from pplcnet.cli.arguments import add_photos, add_threads
from pplcnet.cli.console import Console
from pplcnet.errors import InputError

if TYPE_CHECKING:
    from pplcnet.gallery.class_photos import ClassPhoto
    from pplcnet.gallery.manifest import GalleryManifest
    from pplcnet.runtime.model import Model

__all__ = ["GALLERY_HELP", "add_bundle", "add_class_photos", "find_photos", "open_model"]

GALLERY_HELP = "the folder that 'gallery build' made"


def add_class_photos(parser: argparse.ArgumentParser, classes: str = "") -> None:
    """Add PHOTOS and --class, for verbs that take labelled photos.

    Args:
        classes: text about the classes, added to the help.
    """
    add_photos(parser, f"a folder with a subfolder of photos for each class{classes}")
    parser.add_argument(
        "--class",
        dest="label",
        metavar="NAME",
        help="the class of every photo in PHOTOS; default: the names of its subfolders",
    )


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Add --bundle and --threads, for verbs that need the gallery's network."""
    parser.add_argument(
        "--bundle",
        metavar="BUNDLE",
        help="the bundle that the gallery was built with; default: at its original path",
    )
    add_threads(parser)


def open_model(arguments: argparse.Namespace, console: Console) -> Model[Any]:
    """The model of a gallery's bundle, in the precision of its vectors.

    Raises:
        GalleryError: no gallery.
        InputError: the bundle is not where it was, or has another network.
    """
    from pplcnet.gallery.gallery import check_network, read_manifest
    from pplcnet.runtime.model import load

    manifest: GalleryManifest = read_manifest(arguments.gallery)
    bundle = arguments.bundle or manifest.network.bundle
    if not os.path.exists(bundle):
        raise InputError(
            f"{arguments.gallery}: its bundle {bundle or 'of no known place'} is not there; give "
            "its path with --bundle BUNDLE."
        )
    with console.busy("opening the network"):
        model = load(bundle, threads=arguments.threads, precision=manifest.network.precision)
    check_network(arguments.gallery, manifest, model)
    return model


def find_photos(arguments: argparse.Namespace, console: Console) -> list[ClassPhoto]:
    """The photos in class folders, or of the one class that --class names."""
    from pplcnet.gallery.class_photos import find_class_photos

    photos, notes = find_class_photos(arguments.photos, arguments.label)
    for note in notes:
        console.say(f"note: {note}")
    return photos
