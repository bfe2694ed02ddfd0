"""Parts: the rows of one shard as a Parquet file that is complete or absent."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pplcnet.errors import InputError
from pplcnet.jobs.failures import StorageFailure
from pplcnet.jobs.storage import LEFTOVER, Storage

__all__ = [
    "FAILED_FOLDER",
    "FILES_FOLDER",
    "PARTS_FOLDER",
    "PartFacts",
    "Row",
    "damage_as_input_error",
    "done_shards",
    "facts_of_parts",
    "failed_name",
    "failures_of",
    "merge_parts",
    "part_name",
    "part_schema",
    "remove_leftovers",
    "table_bytes",
]

PARTS_FOLDER, FAILED_FOLDER, FILES_FOLDER = "parts", "failed", "files"
METADATA = b"pplcnet"
_PART = re.compile(r"part-(\d{6,})\.parquet")
_FAILED = re.compile(r"shard-(\d{6,})\.json")
READERS = 16
TEXTS = ("label",)


class Row(NamedTuple):
    """The result for one photo."""

    path: str
    answers: list[dict[str, Any]]
    """As `Prediction.rows` gives them, most confident first."""
    typicality: float | None = None
    error: str | None = None
    file: str | None = None
    """The file with the prediction, relative to the job's folder."""


class PartFacts(NamedTuple):
    """Summary of a part, from its metadata."""

    photos: int
    broken: int


def part_name(number: int) -> str:
    """The path of a shard's part, relative to the job."""
    return f"{PARTS_FOLDER}/part-{number:06d}.parquet"


def failed_name(number: int) -> str:
    """The path of the note on a shard that was given up, relative to the job."""
    return f"{FAILED_FOLDER}/shard-{number:06d}.json"


def part_schema(columns: Sequence[str], *, has_typicality: bool, has_files: bool) -> Any:
    """The schema that all parts of a job share.

    Args:
        columns: of the task's predictions; "label" is text, all others are numbers.
    """
    answer = [pa.field(each, pa.string() if each in TEXTS else pa.float64()) for each in columns]
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            *answer,
            pa.field("answers", pa.list_(pa.struct(answer))),
            *([pa.field("typicality", pa.float64())] if has_typicality else []),
            *([pa.field("file", pa.string())] if has_files else []),
            pa.field("error", pa.string()),
        ]
    )


def table_bytes(rows: Sequence[Row], schema: Any, facts: Mapping[str, Any]) -> bytes:
    """A part as the bytes of a Parquet file; the same rows give the same bytes.

    Args:
        facts: about the network, for the file's metadata.
    """
    columns: dict[str, list[Any]] = {
        "path": [row.path for row in rows],
        "answers": [None if row.error is not None else row.answers for row in rows],
        "typicality": [row.typicality for row in rows],
        "error": [row.error for row in rows],
        "file": [row.file for row in rows],
    }
    best = [row.answers[0] if row.answers else {} for row in rows]
    arrays = [
        pa.array(columns[each.name] if each.name in columns else [b.get(each.name) for b in best],
                 each.type)
        for each in schema
    ]  # fmt: skip
    counts = {"photos": len(rows), "broken": sum(row.error is not None for row in rows)}
    metadata = {METADATA: json.dumps({**facts, **counts}, sort_keys=True)}
    table = pa.Table.from_arrays(arrays, schema=schema.with_metadata(metadata))
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def done_shards(storage: Storage) -> set[int]:
    """The numbers of the shards that have a part."""
    return {
        int(found[1])
        for name in storage.names(PARTS_FOLDER)
        if (found := _PART.fullmatch(name)) is not None
    }


def facts_of_parts(storage: Storage, numbers: Sequence[int]) -> Iterator[PartFacts]:
    """Yield the summary of each part, in the order of `numbers`.

    Raises:
        InputError: a part is damaged.
    """

    def read(number: int) -> PartFacts:
        content = _part(storage, number)
        with _damage_of_part(number):
            facts = json.loads(pq.read_schema(content).metadata[METADATA])
            return PartFacts(int(facts["photos"]), int(facts["broken"]))

    with ThreadPoolExecutor(READERS) as pool:
        for at in range(0, len(numbers), 1000):  # so that only a few are read ahead
            yield from pool.map(read, numbers[at : at + 1000])


def failures_of(storage: Storage) -> dict[int, dict[str, Any]]:
    """Shard number to the content of its file in `failed/`."""
    numbers = sorted(
        int(found[1])
        for name in storage.names(FAILED_FOLDER)
        if (found := _FAILED.fullmatch(name)) is not None
    )
    read = {number: storage.read(failed_name(number)) for number in numbers}
    return {number: _failure_in(content) for number, content in read.items() if content}


def _failure_in(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
        return {**found, "reason": str(found["reason"])}
    except (LookupError, TypeError, ValueError, RecursionError):
        return {"reason": "unknown, as the file that says why is damaged"}


def _part(storage: Storage, number: int) -> io.BytesIO:
    content = storage.read(part_name(number))
    if content is None:
        raise StorageFailure(f"{part_name(number)}: has disappeared.")
    return io.BytesIO(content)


def _damage_of_part(number: int) -> AbstractContextManager[None]:
    return damage_as_input_error(
        f"{part_name(number)}: is damaged, or not a part of this job; delete it, and the command "
        "that began the job writes it again."
    )


@contextlib.contextmanager
def damage_as_input_error(message: str) -> Iterator[None]:
    """Within the context, reading a damaged Parquet file raises an InputError with this message."""
    try:
        yield
    except (pa.ArrowException, LookupError, TypeError, ValueError, OSError) as error:
        raise InputError(message) from error


def remove_leftovers(storage: Storage) -> None:
    """Remove the partial files of killed processes; call it only once nothing is left to write."""
    for folder in (PARTS_FOLDER, FAILED_FOLDER, "plan", "."):
        for name in list(storage.names(folder)):
            if LEFTOVER.fullmatch(name):
                storage.remove(f"{folder}/{name}")


def merge_parts(storage: Storage, shards: int, target: str) -> int:
    """Write all parts, in order, as one Parquet file; returns its number of rows.

    Raises:
        InputError: a part is damaged.
    """
    rows = 0
    with tempfile.TemporaryDirectory(prefix="pplcnet-merge-") as folder:
        path = Path(folder, "merged.parquet")
        writer: Any = None
        try:
            for number in range(shards):
                content = _part(storage, number)
                with _damage_of_part(number):
                    table = pq.read_table(content).replace_schema_metadata()
                    if writer is not None and table.schema != writer.schema:
                        raise TypeError("it has other columns than the parts before it")
                if writer is None:
                    writer = pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
                rows += len(table)
        finally:
            if writer is not None:
                writer.close()
        storage.write(target, path)
    return rows
