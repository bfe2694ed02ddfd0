"""What does the work of a job: photos of one shard in, one part out."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from pplcnet.errors import ImageError, StorageError
from pplcnet.jobs.failures import describe_failure, stops_the_job
from pplcnet.jobs.job import JOB_FILE, Job, read_job
from pplcnet.jobs.network import look_at_network
from pplcnet.jobs.parts import Row, part_name, part_schema, table_bytes
from pplcnet.jobs.photos import Photos, shown_name
from pplcnet.jobs.plan import Shard
from pplcnet.jobs.storage import open_storage
from pplcnet.runtime.model import Model
from pplcnet.system.processor import processor_name
from pplcnet.tasks.task import Prediction

__all__ = ["Done", "Failed", "Outcome", "Settings", "Worker", "start_failure"]


class Settings(NamedTuple):
    """What a worker is told at its start; it can be pickled."""

    bundle: str
    job: Job
    out: str
    """The job's folder."""
    readers: int
    """Photos that are read at once."""
    is_trusted: bool


class Done(NamedTuple):
    """A shard whose part is in place."""

    number: int
    photos: int
    broken: int
    seconds: float
    host: str


class Failed(NamedTuple):
    """A shard without a part, or a worker that could not begin (-1)."""

    number: int
    reason: str
    stops: bool
    """Whether every other shard would fail as well."""
    host: str


Outcome = Done | Failed


class Worker:
    """A network on one core, with threads that read photos ahead."""

    def __init__(self, settings: Settings) -> None:
        """Open the network and look at the job's folder.

        Raises:
            StorageError: this machine does not see the job's folder.
            BundleError, InputError, MissingDependencyError: it cannot run the job's network.
        """
        job = settings.job
        self.host = socket.gethostname()
        self._storage = open_storage(settings.out)
        self._check_folder(settings)
        network = look_at_network(settings.bundle, job.wanted.engine, job.wanted.precision)
        if network.digest != job.wanted.bundle:
            raise StorageError(
                f"{settings.bundle}: on {self.host} it is not the bundle that the job began with."
            )
        self._top_k = job.wanted.top_k
        self._model: Model[Prediction] = Model(
            settings.bundle,
            threads=1,
            engine=job.wanted.engine,
            precision=job.wanted.precision,
            trust_network=settings.is_trusted,
        )
        self._schema = part_schema(network.columns, has_typicality=network.knows_typical)
        self._facts = {
            "bundle": network.digest,
            "engine": job.wanted.engine,
            "precision": job.wanted.precision,
            "processor": processor_name(),
        }
        self._photos = Photos(job.source.root)
        self._readers = settings.readers
        self._pool = ThreadPoolExecutor(settings.readers, thread_name_prefix="pplcnet-read")

    def do(self, shard: Shard) -> Outcome:
        """Classify a shard and write its part; what goes wrong is in the outcome."""
        begun = time.monotonic()
        try:
            rows = list(self.rows(shard.names))
            content = table_bytes(rows, self._schema, self._facts)
            self._storage.write(part_name(shard.number), content)
        except Exception as error:  # noqa: BLE001 - one shard must not end the worker
            return Failed(shard.number, describe_failure(error), stops_the_job(error), self.host)
        broken = sum(row.error is not None for row in rows)
        return Done(shard.number, len(rows), broken, time.monotonic() - begun, self.host)

    def rows(self, names: list[bytes]) -> Iterator[Row]:
        """A row for each photo, in order.

        Raises:
            StorageFailure: a photo may be there but could not be read.
        """
        unread: dict[int, ImageError] = {}

        def contents() -> Iterator[bytes]:
            for at, content in enumerate(self._read_ahead(names)):
                if isinstance(content, ImageError):
                    unread[at] = content
                else:
                    yield content

        predictions = self._model.predict_many(contents())
        at = 0
        for prediction in predictions:
            while at in unread:
                yield _row_of_unread(names[at], unread.pop(at))
                at += 1
            yield self._row(names[at], prediction)
            at += 1
        for rest in range(at, len(names)):
            yield _row_of_unread(names[rest], unread.pop(rest))

    def _read_ahead(self, names: list[bytes]) -> Iterator[bytes | ImageError]:
        pending: deque[Future[bytes | ImageError]] = deque()
        try:
            for name in names:
                pending.append(self._pool.submit(self._photos.read, name))
                if len(pending) >= self._readers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()

    def _row(self, name: bytes, prediction: Prediction) -> Row:
        if prediction.error is not None:
            return Row(shown_name(name), [], None, prediction.error.reason)
        return Row(shown_name(name), prediction.rows(self._top_k), prediction.typicality)

    def _check_folder(self, settings: Settings) -> None:
        there = read_job(self._storage, settings.out)
        if there is None or there.id != settings.job.id:
            raise StorageError(
                f"{settings.out}: the {JOB_FILE} of this job is not there on {self.host}; --out "
                "must be a folder that all machines share, or object storage."
            )


def _row_of_unread(name: bytes, error: ImageError) -> Row:
    return Row(shown_name(name), [], None, error.reason)


def start_failure(error: Exception) -> Failed:
    """What is sent in place of a worker that could not begin."""
    return Failed(-1, describe_failure(error), stops_the_job(error), socket.gethostname())
