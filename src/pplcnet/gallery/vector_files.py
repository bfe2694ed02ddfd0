"""Embeddings of photos as a file for other programs: .parquet, or .npy with the photos' names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ImageError, InputError, require
from pplcnet.runtime.embedding import Embedding
from pplcnet.system.csv_cells import CsvWriter
from pplcnet.system.files import check_file, replacing

__all__ = ["Written", "check_vector_file", "write_vectors"]

# Rows written at once: a few megabytes.
CHUNK = 1024
PARQUET, ARRAY = ".parquet", ".npy"
Append = Callable[[list[str], NDArray[np.float32]], None]
"""Takes the names (N) and the vectors (N, D) of the next rows."""


class Written(NamedTuple):
    """The result of `write_vectors`."""

    files: list[Path]
    rows: int
    """One per photo that could be read."""
    size: int
    """Length of a vector; 0 without any rows."""
    errors: list[ImageError]
    """One for each photo without a row."""


def check_vector_file(path: str | PathLike[str]) -> None:
    """Refuse, before any work, a file that `write_vectors` could not write.

    Raises:
        InputError: another ending than .parquet or .npy, or nothing can be written there.
        MissingDependencyError: .parquet without pyarrow.
    """
    ending = Path(path).suffix.lower()
    if ending not in (PARQUET, ARRAY):
        raise InputError(
            f"{path}: vectors are written to a file that ends in {PARQUET} or {ARRAY}."
        )
    if ending == PARQUET:
        _require_pyarrow()
    check_file(path)


def write_vectors(
    path: str | PathLike[str], embeddings: Iterable[Embedding], *, facts: Mapping[str, str]
) -> Written:
    """Write embeddings as they arrive, in bounded memory; an existing file is replaced at the end.

    A .parquet file has the columns `path` (string) and `embedding` (a list of D float32). An .npy
    file is an array (N, D) float32, and FILE.photos.csv beside it has the columns `row` and `path`.
    Nothing is written if every embedding has an error.

    Args:
        path: ends in .parquet or .npy.
        embeddings: those with an error have no row.
        facts: names and values for the metadata of a .parquet file.

    Raises:
        InputError, MissingDependencyError: as `check_vector_file`.
        StorageError: the file cannot be written; an old one is intact.
    """
    check_vector_file(path)
    path = Path(path)
    errors: list[ImageError] = []
    readable = _readable(embeddings, errors)
    first = next(readable, None)
    if first is None:
        return Written([], 0, 0, errors)
    size = len(first.vector)
    open_table = _parquet_table if path.suffix.lower() == PARQUET else _array_table
    count = 0
    with open_table(path, size, facts) as (files, append):
        names: list[str] = []
        vectors: list[NDArray[np.float32]] = []
        for each in chain([first], readable):
            names.append(each.source)
            vectors.append(each.vector)
            count += 1
            if len(names) == CHUNK:
                append(names, np.stack(vectors))
                names, vectors = [], []
        if names:
            append(names, np.stack(vectors))
    return Written(files, count, size, errors)


def _readable(embeddings: Iterable[Embedding], errors: list[ImageError]) -> Iterator[Embedding]:
    for each in embeddings:
        if each.error is None:
            yield each
        else:
            errors.append(each.error)


@contextlib.contextmanager
def _parquet_table(
    path: Path, size: int, facts: Mapping[str, str]
) -> Iterator[tuple[list[Path], Append]]:
    arrow, parquet = _require_pyarrow()
    vector = arrow.list_(arrow.float32(), size)
    schema = arrow.schema(
        [("path", arrow.string()), ("embedding", vector)],
        metadata={f"pplcnet.{name}": value for name, value in facts.items()},
    )
    with replacing(path) as file, parquet.ParquetWriter(file, schema) as writer:

        def append(names: list[str], vectors: NDArray[np.float32]) -> None:
            columns = arrow.FixedSizeListArray.from_arrays(vectors.reshape(-1), size)
            # File names may contain bytes that are not UTF-8, which Parquet text cannot hold.
            texts = [each.encode("utf-8", "backslashreplace").decode() for each in names]
            writer.write_table(arrow.table([texts, columns], schema=schema))

        yield [path], append


@contextlib.contextmanager
def _array_table(
    path: Path, size: int, facts: Mapping[str, str]
) -> Iterator[tuple[list[Path], Append]]:
    beside = path.with_suffix(".photos.csv")
    with replacing(beside, "w") as table, replacing(path) as file:
        rows = CsvWriter(table, ("row", "path"))
        count = 0
        _write_header(file, (0, size))

        def append(names: list[str], vectors: NDArray[np.float32]) -> None:
            nonlocal count
            for name in names:
                rows.writerow((count, name))
                count += 1
            file.write(np.ascontiguousarray(vectors, "<f4").data)

        yield [path, beside], append
        # numpy leaves room in the header for an array to grow along its first axis.
        file.seek(0)
        _write_header(file, (count, size))


def _write_header(file: IO[bytes], shape: tuple[int, int]) -> None:
    facts: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, facts)


def _require_pyarrow() -> tuple[Any, Any]:
    arrow = require("pyarrow", purpose="writing .parquet files", extra="parquet")
    return arrow, require("pyarrow.parquet", purpose="writing .parquet files", extra="parquet")
