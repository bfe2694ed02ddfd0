"""Write a bundle: one writer at a time, and a switch from old to new in a single rename.

New files are first written under hidden names made from their checksum. Replacing `manifest.json`
is the switch; only then do the new files get their own names, and files that are no longer listed
are removed. A reader looks for a file under its own name and then under the hidden one, so it
always finds what its manifest lists, without writing anything. The next writer completes or
removes whatever a killed writer left behind. `system/files.py` replaces one file at a time; here
unfinished files have fixed names, because readers and the next writer look for them.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import sha256
from itertools import count
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.bundle.bundle import STAGED, Bundle, staged_name
from pplcnet.bundle.manifest import MANIFEST, MANIFEST_LIMIT, Manifest
from pplcnet.bundle.manifest_checks import FILE_LIMIT, is_plain
from pplcnet.bundle.members import read_member
from pplcnet.errors import BundleError, InputError
from pplcnet.system.files import check_writable, sync_folder, write_durably
from pplcnet.system.locking import LOCK_FILE, locked

__all__ = ["WAIT", "check_place", "update_bundle", "write_bundle"]

# Seconds: writing a bundle of a few megabytes takes a fraction of one.
WAIT = 30.0
NEW_MANIFEST = f".{MANIFEST}.writing"
REMOVING = ".removing.json"
"""Files about to be removed, by checksum: a killed writer may not have finished."""


def write_bundle(
    path: str | PathLike[str],
    manifest: Manifest,
    files: Mapping[str, bytes],
    *,
    overwrite: bool = True,
) -> Bundle:
    """Write a whole bundle folder; until it is complete, the previous content of `path` stays.

    Files in the folder that the manifest does not list belong to the user and stay.

    Args:
        path: the folder, or a link to it, which stays one.
        manifest: its `files` are computed here.
        files: content by file name.
        overwrite: whether to replace an existing bundle at `path`; otherwise it is an error.

    Raises:
        BundleError, InputError: as `check_place`.
        InputError: another process is changing the bundle.
        BundleError: it cannot be written, for example on a full disk; the old bundle is intact.
    """
    path = Path(path)
    check_place(path, overwrite=overwrite)
    with locked(path, wait=WAIT):
        check_place(path, overwrite=overwrite)  # another process may have been faster
        return _switch(path, manifest, files, {})


def update_bundle(
    bundle: Bundle,
    *,
    files: Mapping[str, bytes] | None = None,
    variants: Mapping[str, dict[str, Any]] | None = None,
    without: Collection[str] = (),
    **changes: Any,
) -> Bundle:
    """Write a bundle again with files and variants added to it.

    The changes apply to what is on disk now. Anything another process has added since `bundle`
    was opened stays.

    Args:
        without: variants to remove, with their files.
        changes: other fields of the manifest. In a field that is a dictionary, only entries that
            differ from `bundle`'s are replaced.

    Raises:
        BundleError: as `write_bundle`; or a file to keep is damaged; or the network or the
            classes have been replaced since `bundle` was opened.
    """
    check_place(bundle.path)
    with locked(bundle.path, wait=WAIT):
        current = Bundle.open(bundle.path)
        _check_same_network(bundle, current)
        merged = {
            name: _merged(getattr(bundle.manifest, name), value, getattr(current.manifest, name))
            for name, value in changes.items()
        }
        own = {**current.manifest.variants, **(variants or {})}
        gone = {str(own.pop(name)["file"]) for name in without if name in own}
        manifest = replace(current.manifest, **{"variants": own, **merged})
        files = files or {}
        kept = {
            name: facts
            for name, facts in current.manifest.files.items()
            if name not in files and name not in gone
        }
        for name in kept:
            current.read(name)
        return _switch(bundle.path, manifest, files, kept)


def _check_same_network(bundle: Bundle, current: Bundle) -> None:
    """Refuse changes computed for a different network than the one on disk."""

    def identity(manifest: Manifest) -> tuple[Any, ...]:
        variants = [manifest.variants.get(name) for name in ("keras", "onnx")]
        digests = [each and manifest.files[each["file"]]["sha256"] for each in variants]
        return manifest.classes, manifest.task, manifest.network, digests

    if identity(bundle.manifest) != identity(current.manifest):
        raise BundleError(
            f"{bundle.path}: its network has been replaced since it was opened; the changes, which "
            "were made for the previous network, are not written. Run the command again."
        )


def _merged(before: Any, given: Any, current: Any) -> Any:
    """Apply to `current` the changes from `before` to `given`."""
    if not (isinstance(before, dict) and isinstance(given, dict)):
        return given
    kept = {name: each for name, each in current.items() if name in given or name not in before}
    return kept | {
        name: each for name, each in given.items() if name not in before or each != before[name]
    }


def check_place(path: Path, *, overwrite: bool = True) -> None:
    """Refuse, before any work, a place where `write_bundle` could not write.

    Raises:
        BundleError: a packed bundle, or something other than a bundle.
        InputError: the folder cannot be written to, or holds a bundle and `overwrite` is False.
    """
    if path.suffix == ".zip" or path.is_file():
        raise BundleError(
            f"{path}: a packed bundle is not changed in place; unpack it into a folder first."
        )
    if path.exists() and not (path / MANIFEST).is_file() and not _is_blank(path):
        raise BundleError(f"{path}: exists and is not a bundle; choose another place.")
    if not overwrite and (path / MANIFEST).is_file():
        raise InputError(
            f"{path}: already holds a bundle; choose another place, or replace it with --overwrite "
            "(overwrite=True in Python)."
        )
    check_writable(path if path.exists() else path.resolve().parent)


def _is_blank(folder: Path) -> bool:
    """Whether a folder is empty, except for the leftovers of a killed first write."""
    return folder.is_dir() and all(
        each.name == LOCK_FILE or _is_leftover(each.name) for each in folder.iterdir()
    )


def _switch(
    path: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    kept: Mapping[str, dict[str, Any]],
) -> Bundle:
    """Under the lock, switch from the bundle on disk to one with `files` and the `kept` ones."""
    listed = {
        name: {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    complete = replace(manifest, files={**kept, **listed})
    text = complete.to_json()
    Manifest.from_json(text, str(path))  # never write what cannot be read again
    folder = path.resolve()
    try:
        before = _tidy(folder)
        _stage(folder, before, listed, files)
        gone = {name: each["sha256"] for name, each in before.items() if name not in complete.files}
        if gone:
            write_durably(folder / REMOVING, json.dumps(gone).encode())
        write_durably(folder / NEW_MANIFEST, text.encode())
        sync_folder(folder)
        os.replace(folder / NEW_MANIFEST, folder / MANIFEST)
    except OSError as error:
        with contextlib.suppress(OSError):
            _tidy(folder)
        raise BundleError(
            f"{path}: cannot be saved ({error.strerror or error}); what was there before is intact."
        ) from error
    try:
        sync_folder(folder)
        _tidy(folder)
    except OSError as error:
        raise BundleError(
            f"{path}: is saved, but some of its files still have hidden names "
            f"({error.strerror or error}); the next change of the bundle renames them."
        ) from error
    return Bundle(path, complete)


def _stage(
    folder: Path,
    before: Mapping[str, dict[str, Any]],
    listed: Mapping[str, dict[str, Any]],
    files: Mapping[str, bytes],
) -> None:
    """Write new files under hidden names, and make sure that their own names are free."""
    for name, content in files.items():
        target, digest = folder / name, listed[name]["sha256"]
        if os.path.lexists(target):
            if _digest(target) == digest:
                continue
            if name not in before:
                # The user's own file: keep it under another name.
                spares = (target.with_name(f"{name}.unlisted-{at}") for at in count(1))
                os.rename(target, next(each for each in spares if not os.path.lexists(each)))
        write_durably(folder / staged_name(name, digest), content)


def _tidy(folder: Path) -> Mapping[str, dict[str, Any]]:
    """Finish or undo what another writer began; returns the files that the manifest lists.

    A write ends with this step too, so a killed one is completed in the same way.
    """
    _remove_old_leftovers(folder)
    listed: Mapping[str, dict[str, Any]] = {}
    if (folder / MANIFEST).exists():
        with contextlib.suppress(BundleError):  # a damaged manifest lists nothing
            listed = Bundle.open(folder).manifest.files
    for name, facts in listed.items():
        staged = folder / staged_name(name, facts["sha256"])
        if _digest(staged) == facts["sha256"]:
            os.replace(staged, folder / name)
    for name, digest in _read_removing(folder).items():
        if name not in listed and _digest(folder / name) == digest:
            (folder / name).unlink()
    for each in list(folder.iterdir()):
        if _is_leftover(each.name):
            each.unlink()
    return listed


def _read_removing(folder: Path) -> Mapping[str, str]:
    """The names, validated, that a writer was about to remove."""
    try:
        found = json.loads(read_member(folder, REMOVING, MANIFEST_LIMIT))
    except (BundleError, ValueError, RecursionError):
        return {}  # there is none, or its writer was killed before the switch
    if not isinstance(found, dict):
        return {}
    return {name: digest for name, digest in found.items() if is_plain(name)}


def _is_leftover(name: str) -> bool:
    return name in (NEW_MANIFEST, REMOVING) or STAGED.fullmatch(name) is not None


def _remove_old_leftovers(folder: Path) -> None:
    """Remove what killed writers of an earlier pplcnet left beside the folder."""
    if not (folder / MANIFEST).is_file():
        return
    previous = folder.with_name(f".{folder.name}.previous")
    for each in (previous, *folder.parent.glob(f".{glob.escape(folder.name)}.writing-*")):
        shutil.rmtree(each, ignore_errors=True)


def _digest(path: Path) -> str:
    """sha256 of a regular file; "" if there is none."""
    try:
        return sha256(read_member(path.parent, path.name, FILE_LIMIT)).hexdigest()
    except BundleError:
        return ""
