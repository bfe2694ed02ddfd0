"""From a path in a table or a list to the photo that it names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from pplcnet.data.layouts.csv_table import Row
from pplcnet.data.layouts.list_text import SPLIT_NAMES, SPLITS, shortened
from pplcnet.errors import DatasetError, printable
from pplcnet.imaging.decoding import IMAGE_ENDINGS
from pplcnet.system.wording import counted

__all__ = ["PhotoFinder", "find_listed"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")

# Looking for what was meant costs more than finding what is there.
SUGGESTIONS = 20
SUBFOLDERS = 50
# Linux takes no longer one.
LONGEST_PATH = 4096

_Names = dict[str, str | None]


def find_listed(
    path: Path, rows: Sequence[Row], faults: Sequence[str], *, needs_label: bool
) -> list[Path]:
    """The photos that the rows of a table or list name.

    Args:
        path: the table or list.
        faults: what is known to be wrong with it.
        needs_label: whether a row without `label` is a fault.

    Raises:
        DatasetError: all faults, or no rows.
    """
    finders, found, missing = dict[Path, PhotoFinder](), list[Path](), 0
    faults = list(faults)
    for row in rows:
        if not row.path:
            faults.append(f"{row.place}: no path")
        else:
            folder = row.folder or path.parent
            finder = finders.get(folder) or finders.setdefault(folder, PhotoFinder(folder))
            try:
                found.append(finder.find(row.path))
            except DatasetError as error:
                faults.append(f"{row.place}: {error}")
                missing += 1
        if row.split and row.split not in SPLIT_NAMES:
            faults.append(
                f"{row.place}: split {shortened(row.split)!r}, allowed are {', '.join(SPLITS)}"
            )
        if needs_label and not row.label:
            faults.append(f"{row.place}: no usable label")
    if faults:
        start = f" (paths are relative to {path.parent})" if missing else ""
        raise DatasetError(f"{path}: {counted(len(faults), 'fault')}{start}:", faults)
    if not rows:
        raise DatasetError(f"{path}: lists no photos.")
    return found


class PhotoFinder:
    """Finds the photos that a file in `folder` names by relative or absolute paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._suggestions = SUGGESTIONS
        self._listings: dict[tuple[Path, Callable[[str], str]], _Names] = {}

    def find(self, name: str) -> Path:
        """The file of this name; it may be written with backslashes, or its accents otherwise.

        An accented letter is one character in one Unicode form (NFC, as Excel writes it), and a
        letter with a combining accent in another (NFD, as macOS names files).

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
        except OSError:  # nothing can be suggested then
            return []

    def _with_ending(self, name: str) -> Path | None:
        """The photo, where the list leaves out the ending."""
        found = (self._walk(name + ending, _lowered) for ending in sorted(IMAGE_ENDINGS))
        return next((each for each in found if each is not None), None)

    def _walk(self, name: str, key: Callable[[str], str]) -> Path | None:
        """Follow the path, taking at every folder what is named so or has the same key."""
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
        """Names in a folder by their key; None where two have the same."""
        listing = self._listings.get((folder, key))
        if listing is None:
            listing = self._listings[folder, key] = {}
            try:
                names = sorted(os.listdir(folder))
            except OSError:  # no such folder, or a closed one: then nothing is found there
                names = []
            for name in names:
                listing[key(name)] = None if key(name) in listing else name
        return listing


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _lowered(name: str) -> str:
    return _composed(name).lower()
