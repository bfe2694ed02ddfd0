"""An opened bundle: a folder, or a folder packed as one .zip."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeVar

from pplcnet.bundle.manifest import MANIFEST, MANIFEST_LIMIT, Manifest
from pplcnet.bundle.members import read_member
from pplcnet.errors import BundleError
from pplcnet.system.notebook import facts_table

__all__ = ["STAGED", "Bundle", "BundleChangedError", "read_consistently", "staged_name"]

T = TypeVar("T")

_ATTEMPTS = 100
_PAUSE_SECONDS = 0.01
STAGED = re.compile(r"\.[0-9a-f]{32}\..+\.staged")
"""Matches names made by `staged_name`."""


class BundleChangedError(BundleError):
    """Another process has written the bundle since it was opened; open it again."""


def staged_name(name: str, digest: str) -> str:
    """The hidden name of a new file until it gets its own; see `bundle.writing`."""
    return f".{digest[:32]}.{name}.staged"


class Bundle:
    """An opened bundle; its files are read and verified on demand."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Self:
        """Open a bundle folder or .zip, or the bundle in a run's folder.

        Raises:
            BundleError: what is wrong with it.
        """
        path = _bundle_in(Path(path))
        # Not Path.exists, which raises for names that are too long.
        if not os.path.exists(path):
            raise BundleError(f"{path}: no such bundle.")
        _check_kind(path)
        text = read_member(path, MANIFEST, MANIFEST_LIMIT)
        try:
            return cls(path, Manifest.from_json(text.decode("utf-8-sig"), str(path)))
        except UnicodeDecodeError as error:
            raise BundleError(f"{path}: {MANIFEST} is not UTF-8 text.") from error

    @classmethod
    @contextmanager
    def open_to_change(cls, bundle: str | PathLike[str] | Bundle) -> Iterator[Bundle]:
        """Hold the bundle's lock, so that no other process changes it before this work is written.

        The bundle is reopened as it is on disk.

        Raises:
            BundleError, InputError: as `check_place`, before any work.
            InputError: another process is changing the bundle.
        """
        from pplcnet.bundle.writing import check_place
        from pplcnet.system.locking import locked

        path = bundle.path if isinstance(bundle, Bundle) else _bundle_in(Path(bundle))
        cls.open(path)  # first of all, check that it is a bundle
        check_place(path)
        with locked(path):
            yield cls.open(path)

    def __repr__(self) -> str:
        return f"<Bundle {str(self.path)!r}: {self.manifest!r}>"

    def _repr_html_(self) -> str:
        return facts_table(str(self.path), self.manifest.facts())

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the logits."""
        return self.manifest.classes

    def variant(self, name: str) -> dict[str, Any]:
        """The manifest's entry for a variant; BundleError if the bundle does not have it."""
        try:
            return self.manifest.variants[name]
        except KeyError:
            held = ", ".join(self.manifest.variants) or "none"
            raise BundleError(
                f"{self.path}: no variant {name!r}; it has {held}. "
                f"'pplcnet export {self.path}' makes the onnx variant."
            ) from None

    def read(self, name: str) -> bytes:
        """Read a file's content and verify its checksum.

        Raises:
            BundleError: the file is missing, or not what was saved.
            BundleChangedError: another process has written the bundle since it was opened.
        """
        facts = self.manifest.files.get(name)
        if facts is None:
            raise BundleError(f"{self.path}: its manifest lists no file {name!r}.")
        # Under its own name; under the hidden one while it is being put in place; or its own again,
        # if it was just renamed.
        places = (name, staged_name(name, facts["sha256"]), name) if self.path.is_dir() else (name,)
        fault: BundleError | None = None
        for place in places:
            try:
                content = read_member(self.path, place, facts["bytes"])
            except BundleError as error:
                fault = fault or error
                continue
            if len(content) == facts["bytes"] and sha256(content).hexdigest() == facts["sha256"]:
                return content
            fault = BundleError(
                f"{self.path}: {name} is not the file that was saved (its checksum differs). The "
                "bundle is damaged; use another copy."
            )
        if self._has_changed():
            raise BundleChangedError(
                f"{self.path}: another process has changed it since it was opened; open it again."
            )
        raise fault or BundleError(f"{self.path}: {name} is missing.")

    def _has_changed(self) -> bool:
        try:
            return Bundle.open(self.path).manifest != self.manifest
        except BundleError:
            return False

    def verify(self) -> None:
        """Check every file that the manifest lists; BundleError names the first that differs."""
        for name in self.manifest.files:
            self.read(name)

    def pack(self, target: str | PathLike[str]) -> Path:
        """Write the bundle as one .zip file, which every command accepts too."""
        from pplcnet.bundle.packing import pack

        return pack(self, target)


def _bundle_in(path: Path) -> Path:
    """The bundle in a run's folder; any other path unchanged."""
    inside = path / "model.bundle"
    is_inside = os.path.isfile(inside / MANIFEST) and not os.path.isfile(path / MANIFEST)
    return inside if is_inside else path


def _check_kind(path: Path) -> None:
    """Raise BundleError for things that are easily mistaken for a bundle."""
    if path.suffix.lower() == ".onnx" and path.is_file():
        raise BundleError(
            f"{path}: is a network without its bundle, which only 'pplcnet predict' and "
            "pplcnet.load accept; give the bundle."
        )
    if (path / "run.json").is_file() and not (path / MANIFEST).is_file():
        raise BundleError(
            f"{path}: holds a run that has no finished network; continue it with --resume."
        )


def read_consistently(path: str | PathLike[str], use: Callable[[Bundle], T]) -> T:
    """Call `use` on an opened bundle; retried if another process has just written the bundle.

    The manifest and the files that it lists therefore always belong together.
    """
    for _ in range(_ATTEMPTS):
        try:
            return use(Bundle.open(path))
        except BundleChangedError:
            time.sleep(_PAUSE_SECONDS)
    return use(Bundle.open(path))
