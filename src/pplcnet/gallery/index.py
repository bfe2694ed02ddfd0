"""Indexes of large galleries, which find the most similar photos without comparing all.

Each part of a gallery has its own index, a graph of near vectors (HNSW, Malkov and Yashunin
2018) built by usearch, so a change re-indexes only the parts it touches. Indexes are not stored in
the gallery. They lie in this machine's cache under the checksum of the vectors, because usearch
does not validate the files it reads: an index written by somebody else must not be read.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import MissingDependencyError, StorageError, require
from pplcnet.gallery.manifest import GalleryManifest, Part
from pplcnet.gallery.nearest import Nearest, Vectors, best_of, nearest
from pplcnet.system.cache import cache_folder
from pplcnet.system.files import named_failures

__all__ = [
    "CANDIDATES",
    "LEAST_ROWS",
    "PartIndex",
    "build_indexes",
    "nearest_by_index",
    "open_indexes",
]

LEAST_ROWS = 1000
"""Smaller parts are compared as a whole."""
CANDIDATES = 64
"""Per part; their similarities are computed from the vectors."""
# One byte per number: a quarter of the memory. It does not decide the order of the candidates.
FORM: dict[str, Any] = {"metric": "cos", "dtype": "i8", "connectivity": 16, "expansion_add": 128}
EXPANSION = 128
NAME = "i8-16-128.usearch"
"""The file's suffix, which changes with the format."""


class PartIndex:
    """The index of a part, memory-mapped from its file."""

    def __init__(self, path: Path, size: int) -> None:
        """Map the file, which this machine has written."""
        module = _usearch()
        self._index = module.Index(ndim=size, expansion_search=EXPANSION, **FORM)
        self._index.view(str(path))
        self._lock = Lock()  # usearch shares its working memory between callers

    def __len__(self) -> int:
        return len(self._index)

    def candidates(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        """Rows that may be the most similar to a vector (D,), in ascending order."""
        with self._lock:
            found = self._index.search(query, CANDIDATES, threads=1)
        return np.sort(found.keys.astype(np.int64))


def open_indexes(manifest: GalleryManifest) -> tuple[PartIndex | None, ...]:
    """The index of each part, None for a part without; () if there are none."""
    paths = [_place(manifest, part) for part in manifest.parts]
    if not any(path.is_file() for path in paths):
        return ()
    try:
        return tuple(PartIndex(path, manifest.size) if path.is_file() else None for path in paths)
    except MissingDependencyError:
        return ()


def build_indexes(
    manifest: GalleryManifest, vectors: Sequence[Vectors]
) -> Iterator[tuple[Part, bool]]:
    """Index the parts without an index; yields each part when done, and whether it was built.

    Args:
        vectors: one array per part.

    Raises:
        MissingDependencyError: usearch is not installed.
        StorageError: the cache cannot be written.
    """
    module = _usearch()
    for part, held in zip(manifest.parts, vectors, strict=True):
        path = _place(manifest, part)
        is_new = part.rows >= LEAST_ROWS and not path.is_file()
        if is_new:
            index = module.Index(ndim=manifest.size, **FORM)
            index.add(np.arange(part.rows), np.asarray(held, np.float32))
            beside = path.with_name(f"{path.name}.{os.getpid()}")
            with named_failures(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    index.save(str(beside))
                    os.replace(beside, path)
                except RuntimeError as error:
                    raise StorageError(f"{path}: cannot be written ({error}).") from error
                finally:
                    beside.unlink(missing_ok=True)
        yield part, is_new


def nearest_by_index(
    parts: Sequence[Vectors],
    indexes: Sequence[PartIndex | None],
    queries: NDArray[np.float32],
    count: int,
) -> Nearest:
    """As `nearest`, but in a part with an index, only its candidates are compared.

    A part that may have too few candidates is compared as a whole.
    """
    rows, similarities = [], []
    start = 0
    for part, index in zip(parts, indexes, strict=True):
        if index is None or count > CANDIDATES // 2:
            found = nearest([part], queries, count)
            rows.append(found.rows + start)
            similarities.append(found.similarities)
        else:
            candidates = [index.candidates(query) for query in queries]
            rows.append(np.stack(candidates) + start)
            similarities.append(
                np.stack(
                    [
                        np.asarray(part[chosen], np.float32) @ query
                        for chosen, query in zip(candidates, queries, strict=True)
                    ]
                )
            )
        start += len(part)
    return best_of(np.concatenate(rows, axis=1), np.concatenate(similarities, axis=1), count)


def _usearch() -> ModuleType:
    # ONNX Runtime crashes if its library is loaded after usearch's.
    with contextlib.suppress(ImportError):
        importlib.import_module("onnxruntime")
    return require("usearch.index", purpose="an index", extra="index")


def _place(manifest: GalleryManifest, part: Part) -> Path:
    return cache_folder() / "indexes" / f"{manifest.files[part.vectors]['sha256']}-{NAME}"
