"""Does the work of a job: the photos of one shard in, one part out."""

from __future__ import annotations

import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pplcnet.errors import ImageError, StorageError
from pplcnet.jobs.failures import describe_failure, stops_the_job
from pplcnet.jobs.job import JOB_FILE, Job, read_job
from pplcnet.jobs.network import look_at_network
from pplcnet.jobs.parts import (
    FILES_FOLDER,
    Row,
    facts_of_parts,
    part_name,
    part_schema,
    table_bytes,
)
from pplcnet.jobs.photos import Photos, shown_name
from pplcnet.jobs.plan import Shard
from pplcnet.jobs.storage import open_storage
from pplcnet.jobs.tars import photos_in_tar
from pplcnet.runtime.model import Model
from pplcnet.system.processor import processor_name
from pplcnet.tasks.task import Prediction

__all__ = ["Done", "Failed", "Outcome", "Settings", "Worker", "start_failure"]


class Settings(NamedTuple):
    """What a worker needs to start; can be pickled."""

    bundle: str
    job: Job
    out: str
    """The job's folder."""
    readers: int
    """Photos read at once."""
    is_trusted: bool


class Done(NamedTuple):
    """A shard whose part has been written."""

    number: int
    photos: int
    broken: int
    seconds: float
    host: str


class Failed(NamedTuple):
    """A shard without a part, or a worker that could not start (-1)."""

    number: int
    reason: str
    stops: bool
    """Whether every other shard would fail too."""
    host: str


Outcome = Done | Failed


class Worker:
    """A network on one core, with threads that read photos ahead."""

    def __init__(self, settings: Settings) -> None:
        """Open the network and find the job's folder.

        Raises:
            StorageError: the job's folder is not visible from this machine.
            BundleError, InputError, MissingDependencyError: it cannot run the job's network.
        """
        job = settings.job
        self.host = socket.gethostname()
        self._storage = open_storage(settings.out)
        self._check_folder(settings)
        network = look_at_network(settings.bundle, job.wanted.engine, job.wanted.precision)
        if network.digest != job.wanted.bundle:
            raise StorageError(
                f"{settings.bundle}: on {self.host} it is not the bundle that the job started with."
            )
        self._top_k = job.wanted.top_k
        self._model: Model[Prediction] = Model(
            settings.bundle,
            threads=1,
            engine=job.wanted.engine,
            precision=job.wanted.precision,
            trust_network=settings.is_trusted,
        )
        self._schema = part_schema(
            network.columns, has_typicality=network.knows_typical, has_files=job.wanted.files
        )
        self._ending = network.file_ending if job.wanted.files else ""
        self._facts = {
            "bundle": network.digest,
            "engine": job.wanted.engine,
            "precision": job.wanted.precision,
            "processor": processor_name(),
        }
        self._photos, self._is_of_tars = Photos(job.source.root), job.source.is_of_tars
        self._readers = settings.readers
        self._pool = ThreadPoolExecutor(settings.readers, thread_name_prefix="pplcnet-read")

    def do(self, shard: Shard) -> Outcome:
        """Classify a shard and write its part; errors are returned in the outcome."""
        begun = time.monotonic()
        try:
            # Checked here, not by the driver, which would wait for a thousand answers in a row.
            if self._storage.exists(part_name(shard.number)):  # another driver wrote it
                (facts,) = facts_of_parts(self._storage, [shard.number])
                return Done(shard.number, facts.photos, facts.broken, 0.0, self.host)
            rows = list(self._rows(shard))
            content = table_bytes(rows, self._schema, self._facts)
            self._storage.write(part_name(shard.number), content)
        except Exception as error:  # noqa: BLE001 - one shard must not end the worker
            return Failed(shard.number, describe_failure(error), stops_the_job(error), self.host)
        broken = sum(row.error is not None for row in rows)
        return Done(shard.number, len(rows), broken, time.monotonic() - begun, self.host)

    def _rows(self, shard: Shard) -> Iterator[Row]:
        """Yield a row for each photo, in order.

        Raises:
            StorageFailure: a photo may be there but could not be read.
        """
        paths: deque[tuple[str, ImageError | None]] = deque()

        def contents() -> Iterator[bytes]:
            read = self._in_tars if self._is_of_tars else self._read
            for path, content in read(shard.names):
                if isinstance(content, ImageError):
                    paths.append((path, content))
                else:
                    paths.append((path, None))
                    yield content

        def unread() -> Iterator[Row]:
            while paths and (error := paths[0][1]) is not None:
                yield Row(paths.popleft()[0], [], None, error.reason)

        for at, prediction in enumerate(self._model.predict_many(contents())):
            yield from unread()
            path, _ = paths.popleft()
            if prediction.error is not None:
                yield Row(path, [], None, prediction.error.reason)
            else:
                file = self._write(prediction, f"{shard.number:06d}/{at:06d}")
                answers = prediction.rows(self._top_k)
                yield Row(path, answers, prediction.typicality, file=file)
        yield from unread()

    def _write(self, prediction: Prediction, name: str) -> str | None:
        """Write a prediction to a file in the job's folder if asked for; returns its name."""
        if not self._ending:
            return None
        with tempfile.TemporaryDirectory(prefix="pplcnet-file-") as folder:
            path = Path(folder, f"prediction{self._ending}")
            prediction.write(path)
            file = f"{FILES_FOLDER}/{name}{self._ending}"
            self._storage.write(file, path.read_bytes())
        return file

    def _read(self, names: list[bytes]) -> Iterator[tuple[str, bytes | ImageError]]:
        """Yield the photos in order, reading several at once."""
        pending: deque[tuple[str, Future[bytes | ImageError]]] = deque()
        try:
            for name in names:
                pending.append((shown_name(name), self._pool.submit(self._photos.read, name)))
                if len(pending) >= self._readers:
                    path, content = pending.popleft()
                    yield path, content.result()
            while pending:
                path, content = pending.popleft()
                yield path, content.result()
        finally:
            for _, each in pending:
                each.cancel()

    def _in_tars(self, names: list[bytes]) -> Iterator[tuple[str, bytes | ImageError]]:
        for name in names:
            with self._photos.open(name) as file:
                yield from photos_in_tar(file, shown_name(name))

    def _check_folder(self, settings: Settings) -> None:
        there = read_job(self._storage, settings.out)
        if there is None or there.id != settings.job.id:
            raise StorageError(
                f"{settings.out}: the {JOB_FILE} of this job is not there on {self.host}; --out "
                "must be a folder that all machines share, or object storage."
            )


def start_failure(error: Exception) -> Failed:
    """What is sent instead of a worker that could not start."""
    return Failed(-1, describe_failure(error), stops_the_job(error), socket.gethostname())
