"""The bundles and galleries to serve: those given, and those found in given folders.

Such a folder holds `NAME.bundle`, `NAME.zip`, the folder `NAME` of a run, versions of NAME:
`NAME/3`, `NAME/3.bundle` or `NAME/3.zip`, with whole numbers; and galleries, `NAME`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pplcnet.errors import InputError

__all__ = ["NAME_FORM", "Found", "Source", "find_bundles", "find_galleries", "read_sources"]

NAME_FORM = re.compile(r"[A-Za-z0-9._-]{1,128}")
VERSION_FORM = re.compile(r"[0-9]{1,18}")
ENDINGS = (".bundle", ".zip")
# Written out because the server imports no bundle code: only its workers read bundles.
MANIFEST, IN_RUN, GALLERY = "manifest.json", "model.bundle", "gallery.json"


class Source(NamedTuple):
    """An argument from the command line."""

    path: Path
    name: str
    """Name of the model or gallery; "" for a folder of them."""
    is_gallery: bool = False


class Found(NamedTuple):
    """A bundle that currently exists."""

    name: str
    version: str
    path: Path
    fingerprint: tuple[int, ...]
    """Changes whenever the bundle is written."""
    others: tuple[Path, ...] = ()
    """For a gallery: bundles that may contain the network that made it."""


def read_sources(given: Sequence[str]) -> list[Source]:
    """Parse bundles and folders of bundles, each with an optional name, as in NAME=PATH.

    Raises:
        InputError: a path that is neither, or two models with the same name.
    """
    sources = []
    for text in given:
        name, sign, rest = text.partition("=")
        is_named = bool(sign) and NAME_FORM.fullmatch(name) is not None and not os.path.exists(text)
        path = Path(rest if is_named else text)
        if not os.path.exists(path):
            raise InputError(f"{path}: no such bundle, and no such folder of bundles.")
        if _is_gallery(path):
            sources.append(Source(path, name if is_named else _name_of(path), is_gallery=True))
            continue
        is_bundle = _is_bundle(path)
        if not is_bundle and not path.is_dir():
            raise InputError(
                f"{path}: neither a bundle nor a folder of bundles, nor a gallery; 'pplcnet "
                "export' makes a bundle of a run."
            )
        if is_named and not is_bundle:
            raise InputError(
                f"{path}: is a folder of bundles, which take their names from its "
                "files; leave out NAME=."
            )
        sources.append(Source(path, (name if is_named else _name_of(path)) if is_bundle else ""))
    names = [(each.is_gallery, each.name) for each in sources if each.name]
    twice = {each for each in names if names.count(each) > 1}
    if twice:
        is_gallery, name = min(twice)
        raise InputError(
            f"two {'galleries' if is_gallery else 'bundles'} are called {name!r}; give names, as "
            "in first=runs/1 second=runs/2."
        )
    return sources


def find_bundles(sources: Sequence[Source]) -> list[Found]:
    """All bundles, by name and number; each name and version once."""
    found: dict[tuple[str, str], Found] = {}
    for source in sources:
        if source.is_gallery:
            continue
        if source.name:
            candidates = iter([(source.name, "1", source.path)])
        else:
            candidates = _in_folder(source.path)
        for name, version, path in candidates:
            fingerprint = _fingerprint(path)
            if fingerprint and NAME_FORM.fullmatch(name):
                found.setdefault((name, version), Found(name, version, path, fingerprint))
    return sorted(found.values(), key=lambda each: (each.name, int(each.version)))


def find_galleries(sources: Sequence[Source]) -> list[Found]:
    """All galleries, by name, each once."""
    bundles = tuple(each.path for each in find_bundles(sources))
    found: dict[str, Found] = {}
    for source in sources:
        if source.is_gallery:
            places = [(source.name, source.path)]
        elif source.name:
            continue
        else:
            places = [(_name_of(each), each) for each in _entries(source.path)]
        for name, path in places:
            fingerprint = _fingerprint(path / GALLERY) if _is_gallery(path) else ()
            if fingerprint and NAME_FORM.fullmatch(name):
                found.setdefault(name, Found(name, "1", path, fingerprint, bundles))
    return sorted(found.values(), key=lambda each: each.name)


def _in_folder(folder: Path) -> Iterator[tuple[str, str, Path]]:
    for entry in _entries(folder):
        if _is_bundle(entry):
            yield _name_of(entry), "1", entry
        elif entry.is_dir():
            for inside in _entries(entry):
                if VERSION_FORM.fullmatch(_name_of(inside)) and _is_bundle(inside):
                    yield entry.name, str(int(_name_of(inside))), inside


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError:
        return []


def _is_gallery(path: Path) -> bool:
    return (path / GALLERY).is_file()


def _is_bundle(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".zip"
    return any((path / each).is_file() for each in (MANIFEST, f"{IN_RUN}/{MANIFEST}"))


def _name_of(path: Path) -> str:
    """The file name without its extension; for a run's bundle, the name of the run."""
    path = Path(os.path.abspath(path))
    if path.name == IN_RUN and NAME_FORM.fullmatch(path.parent.name):
        return path.parent.name
    name = path.stem if path.suffix.lower() in ENDINGS else path.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:128] or "model"


def _fingerprint(path: Path) -> tuple[int, ...]:
    """Identifies the files that are replaced when a bundle is written; () if it is gone."""
    for place in (path / MANIFEST, path / IN_RUN / MANIFEST, path):
        try:
            status = os.stat(place)
        except OSError:
            continue
        if place == path and path.is_dir():
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return ()
