"""Read, check and write a gallery's files: vectors as .npy, names and classes as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from pplcnet.bundle.members import open_regular
from pplcnet.errors import BundleError, GalleryError
from pplcnet.gallery.manifest import GalleryManifest, Part
from pplcnet.gallery.nearest import Vectors
from pplcnet.system.files import named_failures, sync_folder, write_durably

__all__ = ["PartChangedError", "PartWriter", "Photos", "Row", "map_vectors", "read_photos"]

PHOTOS_LIMIT = 512 << 20
PART_BYTES = 128 << 20
"""Of a part's vectors: what changing one photo rewrites, and what a writer holds in memory."""
SMALL_ROWS = 4096
"""A part with fewer rows is merged with the rows added next."""
CHUNK = 1 << 22


class PartChangedError(GalleryError):
    """A file is not the one in the manifest; another process may just have replaced it."""


class Row(NamedTuple):
    """A photo in a gallery."""

    label: str
    """Its class."""
    photo: str
    """Its name, relative to the folder it was added from."""
    digest: str
    """The first 32 hex digits of its file's sha256."""
    vector: Vectors
    """(D,)"""


class Photos(NamedTuple):
    """Names and classes of a part's rows."""

    classes: list[str]
    """The classes that occur in the part."""
    labels: list[int]
    """For each row, an index into `classes`."""
    photos: list[str]
    digests: list[str]


def read_photos(folder: Path, manifest: GalleryManifest, part: Part) -> Photos:
    """Read a part's names and classes.

    Raises:
        PartChangedError: the file is missing, or not the one in the manifest.
        GalleryError: its content is invalid.
    """
    content = _read(folder, part.photos, manifest.files[part.photos])
    try:
        values = json.loads(content)
        found = Photos(*(values[name] for name in Photos._fields))
        is_right = (
            all(len(each) == part.rows for each in found[1:])
            and all(isinstance(each, str) for each in (*found.classes, *found.photos))
            and all(isinstance(each, str) for each in found.digests)
            and all(type(each) is int and 0 <= each < len(found.classes) for each in found.labels)
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise GalleryError(f"{folder}: {part.photos} is damaged ({str(error)[:200]}).") from error
    if not is_right:
        raise GalleryError(f"{folder}: {part.photos} does not name {part.rows} photos.")
    return found


def map_vectors(folder: Path, manifest: GalleryManifest, part: Part) -> Vectors:
    """A part's vectors (rows, D), mapped from the file after verifying its checksum.

    Raises:
        PartChangedError, GalleryError: as `read_photos`.
    """
    facts = manifest.files[part.vectors]
    shape, dtype = (part.rows, manifest.size), np.dtype(manifest.dtype).newbyteorder("<")
    header = _header(shape, dtype)
    try:
        with open_regular(folder / part.vectors) as file:
            digest = sha256()
            beginning = file.read(len(header))
            digest.update(beginning)
            size = len(beginning)
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
            if size != facts["bytes"] or digest.hexdigest() != facts["sha256"]:
                raise _changed(folder, part.vectors)
            if beginning != header or size != len(header) + dtype.itemsize * shape[0] * shape[1]:
                raise GalleryError(
                    f"{folder}: {part.vectors} does not hold {shape[0]} vectors of {shape[1]} "
                    f"{manifest.dtype} numbers."
                )
            return np.memmap(file, dtype, "r", len(header), shape)
    except (BundleError, OSError) as error:
        if isinstance(error, GalleryError):
            raise
        raise _changed(folder, part.vectors) from error


def _read(folder: Path, name: str, facts: Mapping[str, Any]) -> bytes:
    try:
        with open_regular(folder / name) as file:
            content = file.read(min(facts["bytes"], PHOTOS_LIMIT) + 1)
    except (BundleError, OSError) as error:
        raise _changed(folder, name) from error
    if len(content) != facts["bytes"] or sha256(content).hexdigest() != facts["sha256"]:
        raise _changed(folder, name)
    return content


def _changed(folder: Path, name: str) -> PartChangedError:
    return PartChangedError(
        f"{folder}: {name} is missing, or not the file that was saved; the gallery is damaged; use "
        "another copy, or build it again."
    )


def _header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    buffer = io.BytesIO()
    facts = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()


class PartWriter:
    """Writes rows to new parts in a gallery's folder, in files named by their content.

    The caller holds the gallery's lock. The files belong to the gallery once its manifest
    lists them and `keep` is called; otherwise they are removed at the end of the `with` block.
    """

    def __init__(self, folder: Path, size: int, dtype: str) -> None:
        self.parts: list[Part] = []
        self.files: dict[str, dict[str, Any]] = {}
        self._folder = folder
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._size = size
        self._most = max(1, PART_BYTES // (size * self._dtype.itemsize))
        self._rows: list[Row] = []
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._made:
            with contextlib.suppress(OSError):
                path.unlink()

    def keep(self) -> None:
        """Keep what was written."""
        self._made.clear()

    def append(self, row: Row) -> None:
        """Add a row; writes the part when it is full."""
        self._rows.append(row._replace(vector=row.vector.astype(self._dtype)))
        if len(self._rows) == self._most:
            self.flush()

    def flush(self) -> None:
        """Write the remaining rows.

        Raises:
            StorageError: they cannot be written.
        """
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        classes = sorted({row.label for row in rows})
        place = {name: at for at, name in enumerate(classes)}
        photos = Photos(
            classes,
            [place[row.label] for row in rows],
            [row.photo for row in rows],
            [row.digest for row in rows],
        )
        shape = (len(rows), self._size)
        vectors = np.stack([row.vector for row in rows]).reshape(-1).view(np.uint8)
        with named_failures(self._folder):
            part = Part(
                self._write("vectors", ".npy", _header(shape, self._dtype), vectors.data),
                self._write("photos", ".json", json.dumps(photos._asdict()).encode()),
                len(rows),
            )
            sync_folder(self._folder)
        self.parts.append(part)

    def _write(self, kind: str, ending: str, *pieces: bytes | memoryview) -> str:
        digest = sha256()
        for piece in pieces:
            digest.update(piece)
        name = f"{kind}-{digest.hexdigest()[:32]}{ending}"
        path, beside = self._folder / name, self._folder / f".{name}.writing"
        if not path.exists():  # else it has the same name, so the same content
            self._made.append(path)
        write_durably(beside, *pieces)
        os.replace(beside, path)
        size = sum(memoryview(piece).nbytes for piece in pieces)
        self.files[name] = {"sha256": digest.hexdigest(), "bytes": size}
        return name
