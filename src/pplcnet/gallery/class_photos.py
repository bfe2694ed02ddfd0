"""Photos in class folders, as a gallery takes them: a single class is enough."""

from __future__ import annotations

import hashlib
import os
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.class_names import class_name, name_faults
from pplcnet.data.image_files import PassedOver, find_images, subfolders
from pplcnet.data.layouts.list_text import SPLIT_NAMES
from pplcnet.errors import DatasetError, InputError, printable

__all__ = ["ClassPhoto", "find_class_photos", "short_digest"]


class ClassPhoto(NamedTuple):
    """A photo and its class."""

    path: Path
    label: str
    name: str
    """The class, and the path within its folder."""


def find_class_photos(
    folder: str | PathLike[str], label: str | None = None
) -> tuple[list[ClassPhoto], list[str]]:
    """Find photos in class folders, at any depth; also returns a note on each kind of ignored file.

    Args:
        folder: its subfolders are the classes.
        label: the class of every photo in the folder; None to use the subfolders' names.

    Raises:
        DatasetError: no such folder, no class folders, no photos, unusable names, or folders that
            cannot be read.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise DatasetError(f"{folder}: no such folder.")
    passed_over = PassedOver()
    places = [(class_name(label or ""), folder)]
    if label is None:
        places = [(class_name(each.name), each) for each in subfolders(folder, passed_over)]
    if places and label is None and all(name.lower() in SPLIT_NAMES for name, _ in places):
        raise DatasetError(
            f"{folder}: its folders are splits ({', '.join(name for name, _ in places)}), not "
            f"classes; give one of them, such as {places[0][1]}."
        )
    faults = name_faults(sorted({name for name, _ in places}))
    if faults:
        raise DatasetError(f"{folder}: its classes need other names:", faults)
    if not places:
        raise DatasetError(
            f"{folder}: has no class folders; put the photos of each class into a folder of its "
            "name, or name the class of all of them with --class NAME."
        )
    photos = [
        ClassPhoto(
            path, name, f"{name}/{printable(os.path.relpath(path, place).replace(os.sep, '/'))}"
        )
        for name, place in places
        for path in find_images(place, passed_over)
    ]
    passed_over.raise_unreadable(folder)
    if not photos:
        raise DatasetError(f"{folder}: no photos in it.", passed_over.notes())
    return photos, list(passed_over.notes())


def short_digest(path: Path) -> str:
    """The first 32 hex digits of the sha256 of a file's content.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
