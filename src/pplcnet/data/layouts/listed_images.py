"""Images that the lines of a table or a list name by their path."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from pplcnet.data.annotations import Annotation, ClassLabel
from pplcnet.data.class_names import require_two_classes
from pplcnet.data.dataset import SPLITS, Dataset, LabelledImage
from pplcnet.data.layouts.list_text import SPLIT_NAMES, shortened
from pplcnet.data.layouts.repeats import without_repeats
from pplcnet.errors import DatasetError, printable
from pplcnet.imaging.formats import image_endings
from pplcnet.system.wording import counted

__all__ = ["FileFinder", "Listed", "Row", "dataset_of_classes", "listed_images", "root_of"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")

# Looking for what was meant costs more than finding what is there.
SUGGESTIONS = 20
SUBFOLDERS = 50
# Linux allows no longer ones.
LONGEST_PATH = 4096

_Names = dict[str, str | None]


class Row(NamedTuple):
    """One line of a table or list, as it is written there."""

    place: str
    """Which line, for messages."""
    path: str
    label: str
    """The class; "" if there is none."""
    split: str
    folder: Path
    """What a relative path is relative to."""


class Listed(NamedTuple):
    """All lines of a table or list, and of those of other splits beside it."""

    rows: list[Row]
    classes: tuple[str, ...]
    faults: list[str]
    """A sentence for everything that is wrong."""
    notes: tuple[str, ...] = ()
    """A sentence for everything that is worth knowing."""


def dataset_of_classes(path: Path, listed: Listed) -> Dataset:
    """The data set of a table or list at `path` that gives each image one class.

    Raises:
        DatasetError: all faults, or no rows, or fewer than two classes.
    """
    index = {name: at for at, name in enumerate(listed.classes)}
    labels = [ClassLabel(index[row.label]) if row.label else None for row in listed.rows]
    images = listed_images(path, listed, labels)
    require_two_classes(path, listed.classes)
    root = root_of(path, listed.rows)
    return without_repeats(Dataset(root, listed.classes, images, notes=listed.notes, source=path))


def listed_images(
    path: Path, listed: Listed, annotations: Sequence[Annotation | None]
) -> tuple[LabelledImage, ...]:
    """The images that the rows of a table or list at `path` name.

    Args:
        annotations: one for each row; None for a row that lacks one, which is a fault.

    Raises:
        DatasetError: all faults, or no rows.
    """
    finders, images, missing = dict[Path, FileFinder](), list[LabelledImage](), 0
    faults = list(listed.faults)
    for row, annotation in zip(listed.rows, annotations, strict=True):
        if not row.path:
            faults.append(f"{row.place}: no path")
        else:
            finder = finders.get(row.folder)
            if finder is None:
                finder = finders[row.folder] = FileFinder(row.folder)
            try:
                found = finder.find(row.path)
                if annotation is not None:
                    images.append(LabelledImage(found, annotation, SPLIT_NAMES.get(row.split)))
            except DatasetError as error:
                faults.append(f"{row.place}: {error}")
                missing += 1
        if row.split and row.split not in SPLIT_NAMES:
            faults.append(
                f"{row.place}: split {shortened(row.split)!r}, allowed are {', '.join(SPLITS)}"
            )
        if annotation is None:
            faults.append(f"{row.place}: no usable label")
    if faults:
        start = f" (paths are relative to {path.parent})" if missing else ""
        raise DatasetError(f"{path}: {counted(len(faults), 'fault')}{start}:", faults)
    if not listed.rows:
        raise DatasetError(f"{path}: lists no photos.")
    return tuple(images)


def root_of(path: Path, rows: Sequence[Row]) -> Path:
    """What names of images are relative to: the folder of the files that list them."""
    is_one = len({row.folder for row in rows}) == 1
    return path.parent if is_one else path.absolute().parent.parent


class FileFinder:
    """Finds the files that a table or list in `folder` names by relative or absolute paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._suggestions = SUGGESTIONS
        self._listings: dict[tuple[Path, Callable[[str], str]], _Names] = {}

    def find(self, name: str) -> Path:
        """The file of this name, which may be written with backslashes or other accents.

        An accented letter is one character in one Unicode form (NFC, which Excel writes), and a
        letter with a combining accent in another (NFD, which macOS uses for file names).

        Raises:
            DatasetError: there is no such file; the message has no full stop, to stand in a list.
        """
        for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
            path = self.folder / spelling
            if os.path.isfile(path):
                return path
        if len(name) <= LONGEST_PATH and not name.isascii():
            found = self._walk(name, _composed)
            if found is not None and os.path.isfile(found):
                return found
        raise DatasetError(self._why_not(name))

    def _why_not(self, name: str) -> str:
        shown = printable(shortened(name))
        if _URL.match(name):
            return f"{shown} is a URL; download the photos and list the files"
        if _WINDOWS_DRIVE.match(name) and os.name != "nt":
            return f"{shown} is a path on a Windows drive; list paths relative to the list"
        path = self.folder / name.replace("\\", "/")
        if os.path.exists(path):
            if os.path.isdir(path):
                return f"{shown} is a folder; list its photos one by one"
            return f"{shown} is not a regular file"
        if not self._suggestions or len(name) > LONGEST_PATH:
            return f"{shown} does not exist"
        self._suggestions -= 1
        return f"{shown} does not exist{self._suggestion(name)}"

    def _suggestion(self, name: str) -> str:
        near = self._walk(name, _lowered) or self._with_ending(name)
        if near is not None and os.path.isfile(near):
            return f" (but {printable(near.name)} does)"
        for spelling, difference in (
            (name.strip("'\""), "quotes"),
            (name.lstrip("/"), "leading /"),
            (unquote(name), "% codes of a URL"),
        ):
            if spelling != name and os.path.isfile(self.folder / spelling):
                return f" (but it does without the {difference})"
        for below in self._subfolders:
            if os.path.isfile(os.path.join(self.folder, below, name)):
                return f" (but {printable(below)}/{printable(name)} does)"
        for folder in (self.folder.absolute().parent, Path.cwd()):
            if os.path.isfile(folder / name):
                return f" (but it does in {printable(str(folder))})"
        return ""

    @cached_property
    def _subfolders(self) -> list[str]:
        """Names of the first folders in the folder."""
        try:
            with os.scandir(self.folder) as entries:
                return sorted(each.name for each in entries if each.is_dir())[:SUBFOLDERS]
        except OSError:  # then nothing is suggested
            return []

    def _with_ending(self, name: str) -> Path | None:
        """The image, if the list leaves out the ending."""
        found = (self._walk(name + ending, _lowered) for ending in sorted(image_endings()))
        return next((each for each in found if each is not None), None)

    def _walk(self, name: str, key: Callable[[str], str]) -> Path | None:
        """Follow the path; in every folder, take the name itself or one with the same key."""
        relative = Path(name.replace("\\", "/"))
        place, parts = self.folder, relative.parts
        if relative.anchor:
            place, parts = Path(relative.anchor), parts[1:]
        for part in parts:
            if not os.path.lexists(place / part):
                named = self._listing(place, key).get(key(part))
                if named is None:
                    return None
                part = named
            place /= part
        return place

    def _listing(self, folder: Path, key: Callable[[str], str]) -> _Names:
        """Names in a folder by their key; None where two names have the same key."""
        listing = self._listings.get((folder, key))
        if listing is None:
            listing = self._listings[folder, key] = {}
            try:
                names = sorted(os.listdir(folder))
            except OSError:  # no such folder, or not allowed: then nothing is found there
                names = []
            for name in names:
                listing[key(name)] = None if key(name) in listing else name
        return listing


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _lowered(name: str) -> str:
    return _composed(name).lower()
