"""Switch a gallery on disk to its next state: one writer at a time, old or new for each reader.

Parts are never changed, only written anew under names made from their content; replacing the
manifest is the switch. Parts that it no longer lists are then removed; parts left behind by a
killed writer are removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from pplcnet.errors import InputError
from pplcnet.gallery.gallery import Gallery, read_manifest
from pplcnet.gallery.manifest import GALLERY_FILE, GalleryManifest, Part
from pplcnet.gallery.parts import PartWriter
from pplcnet.gallery.threshold import choose_threshold
from pplcnet.system.files import check_writable, named_failures, sync_folder, write_durably
from pplcnet.system.locking import LOCK_FILE, locked

__all__ = ["check_place", "switch", "to_change"]

NEW_MANIFEST = f".{GALLERY_FILE}.writing"
OWN_FILES = re.compile(r"\.?(vectors-[0-9a-f]{32}\.npy|photos-[0-9a-f]{32}\.json)(\.writing)?")


def check_place(out: Path, overwrite: bool) -> None:
    """Raise InputError if no gallery can be made here."""
    if out.is_file():
        raise InputError(f"{out}: is a file; a gallery is a folder; choose another place.")
    is_gallery = (out / GALLERY_FILE).is_file()
    if is_gallery and not overwrite:
        raise InputError(
            f"{out}: already holds a gallery; add to it, choose another place, or replace it with "
            "--overwrite (overwrite=True in Python)."
        )
    if out.is_dir() and not is_gallery and any(map(_is_foreign, out.iterdir())):
        raise InputError(f"{out}: exists and is not a gallery; choose another place.")
    check_writable(out if out.exists() else out.resolve().parent)


def _is_foreign(path: Path) -> bool:
    return path.name not in (LOCK_FILE, NEW_MANIFEST) and not OWN_FILES.fullmatch(path.name)


@contextlib.contextmanager
def to_change(path: str | PathLike[str]) -> Iterator[tuple[Path, GalleryManifest]]:
    """Under the gallery's lock, yield its folder and its current manifest on disk."""
    folder = Path(path)
    read_manifest(folder)  # first of all, check that it is a gallery
    check_writable(folder)
    with locked(folder):
        manifest = read_manifest(folder)
        _tidy(folder, manifest)
        yield folder, manifest


def switch(
    folder: Path,
    manifest: GalleryManifest,
    kept: Sequence[Part],
    writer: PartWriter,
    classes: Counter[str],
) -> Gallery:
    """Under the lock, switch to a gallery of the kept parts and the newly written ones."""
    writer.flush()
    parts = (*kept, *writer.parts)
    files = {**manifest.files, **writer.files}
    complete = replace(
        manifest,
        classes={name: classes[name] for name in sorted(classes)},
        parts=parts,
        files={name: files[name] for part in parts for name in (part.vectors, part.photos)},
        threshold=None,
    )
    opened = Gallery.of(folder, complete)
    threshold = choose_threshold(opened.vectors, opened.labels, manifest.false_acceptance)
    complete = replace(complete, threshold=threshold)
    text = complete.to_json()
    GalleryManifest.from_json(text, str(folder))  # never write what cannot be read again
    with named_failures(folder):
        write_durably(folder / NEW_MANIFEST, text.encode())
        os.replace(folder / NEW_MANIFEST, folder / GALLERY_FILE)
        writer.keep()
        sync_folder(folder)
        _tidy(folder, complete)
    return Gallery.of(folder, complete)


def _tidy(folder: Path, manifest: GalleryManifest) -> None:
    """Remove parts that the manifest does not list, and the leftovers of a killed writer."""
    for each in list(folder.iterdir()):
        if each.name == NEW_MANIFEST or (
            OWN_FILES.fullmatch(each.name) and each.name not in manifest.files
        ):
            with contextlib.suppress(OSError):  # on systems where an open file cannot be removed
                each.unlink()
