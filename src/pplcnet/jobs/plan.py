"""The plan of a job: the photos' names in their final order, split into shards.

The names are sorted in runs on disk, which are then merged, so memory does not grow with their
number. `plan/DIGEST-00000.parquet` and so on hold them, one row group per shard. The file names
contain the digest of all names, so two drivers that list at once do not interfere.
The first shards are smaller than the others, so that a job shows its first part, and anything
wrong with it, within seconds.
"""

from __future__ import annotations

import heapq
import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pplcnet.errors import InputError
from pplcnet.jobs.parts import damage_as_input_error
from pplcnet.jobs.storage import Storage

__all__ = [
    "PLAN_FOLDER",
    "Plan",
    "Shard",
    "photos_of",
    "plan_shards",
    "read_shards",
    "write_plan",
]

PLAN_FOLDER = "plan"
SHARDS_A_FILE = 100
FIRST_PHOTOS = 250
"""Photos in the first shard; each next one has twice as many, up to the requested size."""
RUN_NAMES = 100_000
"""Names sorted in memory at once."""
MOST_RUNS = 200
"""Sorted runs open at once; if there are more, some are merged first."""
SCHEMA = pa.schema([pa.field("name", pa.binary(), nullable=False)])


class Shard(NamedTuple):
    """A piece of a job, whose result is one file."""

    number: int
    names: list[bytes]


class Plan(NamedTuple):
    """What job.json records about the plan."""

    digest: str
    """sha256 of the names in order and of the maximum shard size."""
    photos: int
    """Number of names; of tar files if the shards are tar files."""
    shards: int


def _shard_size(number: int, most: int) -> int:
    """Photos in a shard other than the last; at most `most`."""
    # No shard is doubled more than 40 times, to keep the number small.
    return min(most, FIRST_PHOTOS << min(number, 40))


def photos_of(plan: Plan, shard_photos: int, numbers: range) -> int:
    """Photos in the shards with these numbers."""
    last = plan.shards - 1
    photos = sum(_shard_size(number, shard_photos) for number in numbers if number != last)
    if last in numbers:
        photos += plan.photos - sum(_shard_size(number, shard_photos) for number in range(last))
    return photos


def plan_shards(
    names: Iterable[bytes],
    storage: Storage,
    *,
    shard_photos: int,
    is_sorted: bool,
    limit: int | None = None,
) -> Plan:
    """Write the plan's files.

    Args:
        names: must not contain zero bytes.
        shard_photos: photos per shard, except for the first ones.
        is_sorted: sort the names; otherwise they keep their order.
        limit: keep only the first `limit` names, after sorting; None for all.
    """
    with tempfile.TemporaryDirectory(prefix="pplcnet-plan-") as folder:
        ordered = _sorted(names, Path(folder)) if is_sorted else iter(names)
        files, plan = write_plan(islice(ordered, limit), Path(folder), shard_photos)
        for number, file in enumerate(files):
            storage.write(_file_name(plan.digest, number), file)
    return plan


def write_plan(names: Iterator[bytes], folder: Path, shard_photos: int) -> tuple[list[Path], Plan]:
    """Write names, in their final order, to local files; returns the files and the plan."""
    digest = sha256(f"{shard_photos}\n".encode())
    files: list[Path] = []
    writer: Any = None
    photos = shards = 0
    while shard := list(islice(names, _shard_size(shards, shard_photos))):
        if shards % SHARDS_A_FILE == 0:
            if writer is not None:
                writer.close()
            files.append(folder / f"plan-{len(files):05d}")
            writer = pq.ParquetWriter(files[-1], SCHEMA, compression="zstd", use_dictionary=False)
        digest.update(b"\0".join(shard) + b"\0")
        writer.write_table(pa.table([pa.array(shard, pa.binary())], SCHEMA))
        photos += len(shard)
        shards += 1
    if writer is not None:
        writer.close()
    return files, Plan(digest.hexdigest(), photos, shards)


def read_shards(storage: Storage, plan: Plan, numbers: Iterable[int]) -> Iterator[Shard]:
    """Yield the shards with these ascending numbers; holds one file of the plan at a time.

    Raises:
        InputError: a file of the plan is missing or damaged.
    """
    held: tuple[int, Any] = (-1, None)
    for number in numbers:
        at = number // SHARDS_A_FILE
        name = _file_name(plan.digest, at)
        if held[0] != at:
            content = storage.read(name)
            if content is None:
                raise InputError(f"{name}: this file of the job's plan is missing.")
            with _damage_of_file(name):
                held = (at, pq.ParquetFile(io.BytesIO(content)))
        with _damage_of_file(name):
            names = held[1].read_row_group(number % SHARDS_A_FILE).column(0).to_pylist()
        yield Shard(number, names)


def _damage_of_file(name: str) -> AbstractContextManager[None]:
    return damage_as_input_error(
        f"{name}: this file of the job's plan is damaged; start the job over with another --out."
    )


def _file_name(digest: str, number: int) -> str:
    return f"{PLAN_FOLDER}/{digest[:16]}-{number:05d}.parquet"


def _sorted(names: Iterable[bytes], folder: Path) -> Iterator[bytes]:
    """Yield all names in order, including duplicates."""
    waiting = iter(names)
    runs: list[IO[bytes]] = []
    try:
        while run := list(islice(waiting, RUN_NAMES)):
            run.sort()
            if len(run) < RUN_NAMES and not runs:
                yield from run
                return
            if len(runs) == MOST_RUNS:
                merged = _write_run(heapq.merge(*map(_names_in, runs)), folder)
                for file in runs:
                    file.close()
                runs = [merged]
            runs.append(_write_run(run, folder))
        yield from heapq.merge(*map(_names_in, runs))
    finally:
        for file in runs:
            file.close()


def _write_run(names: Iterable[bytes], folder: Path) -> IO[bytes]:
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it
    file.writelines(name + b"\0" for name in names)
    file.seek(0)
    return file


def _names_in(file: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := file.read(1 << 16):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
