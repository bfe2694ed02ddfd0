"""Pack a bundle into one .zip file."""

from __future__ import annotations

import zipfile
from os import PathLike
from pathlib import Path

from pplcnet.bundle.bundle import Bundle, read_consistently
from pplcnet.bundle.manifest import MANIFEST
from pplcnet.bundle.members import FREE_BYTES
from pplcnet.bundle.writing import WAIT
from pplcnet.errors import BundleError, StorageError
from pplcnet.system.files import named_failures, replacing, sync_folder
from pplcnet.system.locking import locked

__all__ = ["pack"]


def pack(bundle: Bundle, target: str | PathLike[str]) -> Path:
    """Write a bundle as one .zip file; an existing `target` stays until the new one is complete.

    Raises:
        BundleError: a file of the bundle is damaged, or the .zip cannot be written.
        InputError: another process is writing the same .zip, or its folder cannot be written to.
    """
    target = Path(target)
    manifest, contents = read_consistently(
        bundle.path,
        lambda each: (each.manifest, {name: each.read(name) for name in each.manifest.files}),
    )
    with locked(target, wait=WAIT, is_file=True):
        try:
            with named_failures(target):
                with (
                    replacing(target, temporary=f".{target.name}.writing") as file,
                    zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
                ):
                    archive.writestr(MANIFEST, manifest.to_json())
                    for name, content in contents.items():
                        archive.writestr(name, content, _compression(content))
                sync_folder(target.resolve().parent)
        except StorageError as error:
            raise BundleError(str(error)) from error
    return target


def _compression(content: bytes) -> int:
    """Large files are stored uncompressed: readers distrust those with a high compression ratio."""
    return zipfile.ZIP_STORED if len(content) > FREE_BYTES else zipfile.ZIP_DEFLATED
