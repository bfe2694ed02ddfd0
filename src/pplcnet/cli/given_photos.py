"""Photos for verbs without labels: files, folders, or - for one photo from stdin."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pplcnet.errors import InputError

if TYPE_CHECKING:
    from pplcnet.data.image_files import PassedOver

__all__ = ["STDIN", "add_inputs", "check_given", "inputs_of", "paths_of"]

STDIN = "-"


def add_inputs(parser: argparse.ArgumentParser, text: str = "photos, or folders of photos") -> None:
    """Add the photos of a verb: IMAGE_OR_FOLDER ..., or the same after --photos."""
    parser.add_argument("inputs", metavar="IMAGE_OR_FOLDER", nargs="*", help=text)
    parser.add_argument(
        "--photos",
        dest="more_inputs",
        metavar="IMAGE_OR_FOLDER",
        nargs="+",
        action="extend",
        default=[],
        help="IMAGE_OR_FOLDER, given as an option",
    )


def inputs_of(arguments: argparse.Namespace) -> list[str]:
    """The photos given in either form."""
    return [*arguments.inputs, *arguments.more_inputs]


def check_given(given: Sequence[str], *, verb_without_stdin: str = "") -> None:
    """Raise InputError for photos that do not exist and for folders without photos.

    Args:
        verb_without_stdin: the verb, if it does not read a photo from stdin.
    """
    from pplcnet.data.image_files import PassedOver, find_images

    if verb_without_stdin and STDIN in given:
        raise InputError(f"{verb_without_stdin} takes files and folders, and does not read stdin.")
    if not given:
        stdin = "" if verb_without_stdin else ", or - for one photo from stdin"
        raise InputError(f"no photos given; give files or folders{stdin}.")
    if STDIN in given and len(given) > 1:
        raise InputError("- reads one photo from stdin and cannot be mixed with other photos.")
    missing = [each for each in given if each != STDIN and not (each and Path(each).exists())]
    for each in missing:
        if re.match(r"[a-z][a-z0-9+.-]+://", each, re.IGNORECASE):
            piped = ", or pipe it in: curl -L URL | pplcnet predict BUNDLE -"
            raise InputError(
                f"{each}: URLs are not fetched; download the photo first"
                f"{'.' if verb_without_stdin else piped}"
            )
    if missing:
        names = ", ".join(each or "''" for each in missing)
        raise InputError(f"{names}: no such file or folder.")
    for each in given:
        passed_over = PassedOver()
        if Path(each).is_dir() and next(find_images(each, passed_over), None) is None:
            passed_over.raise_unreadable(each)
            raise InputError(
                f"{each}: no images in this folder or its subfolders.", passed_over.notes()
            )


def paths_of(given: Sequence[str], passed_over: PassedOver) -> Iterator[Path]:
    """Yield the photos in all files and folders; ignored files are counted in `passed_over`."""
    from pplcnet.data.image_files import find_images

    for each in given:
        if Path(each).is_dir():
            yield from find_images(each, passed_over)
        else:
            yield Path(each)
