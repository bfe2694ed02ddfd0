"""Workers on a Ray cluster: one actor per core.

Ray starts, places and watches processes. It does not know what is done or left to do: when an
actor is lost, the driver makes a new one and gives its shard out again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import RayError

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.packing import pack
from pplcnet.jobs.driver import Died, Ready
from pplcnet.jobs.plan import Shard
from pplcnet.jobs.ray_cluster import Cluster, in_words
from pplcnet.jobs.worker import Failed, Outcome, Settings, Worker, start_failure
from pplcnet.system.processor import available_cores

__all__ = ["RayWorkers"]


class RayWorker:
    """The actor that holds one worker."""

    def __init__(self, settings: Settings, bundle: bytes, suffix: str) -> None:
        self._worker: Worker | None = None
        self._failure: Failed | None = None
        try:
            with tempfile.TemporaryDirectory(prefix="pplcnet-bundle-") as folder:
                path = Path(folder, f"bundle{suffix}")
                path.write_bytes(bundle)
                self._worker = Worker(settings._replace(bundle=str(path)))
        except Exception as error:  # noqa: BLE001 - told to the driver
            self._failure = start_failure(error)

    def begin(self) -> Failed | None:
        """None once it can take shards, or the reason why it cannot."""
        return self._failure

    def do(self, shard: Shard) -> Outcome:
        """See `Worker.do`."""
        assert self._worker is not None  # noqa: S101 - `begin` said so
        return self._worker.do(shard)


class RayWorkers:
    """As many actors as were asked for and the cluster has room for; a lost one is replaced."""

    def __init__(
        self,
        settings: Settings,
        count: int | None,
        address: str | None,
        say: Callable[[str], None],
        *,
        most: int,
    ) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            count: largest number of actors; None for one per CPU of the cluster.
            address: of a cluster; "auto" for the one that this machine belongs to; None for
                RAY_ADDRESS or, if that is not set, a cluster on this machine alone.
            say: called with a line about the cluster.
            most: number of actors that there is work for.

        Raises:
            InputError: it is not the address of a cluster's head node.
            StorageError: no cluster answers at the address.
        """
        self._cluster = Cluster(address, count or available_cores(), say)
        cpus = self._cluster.cpus()
        self._count = min(count or max(1, cpus), most)
        if self._count > cpus:
            say(f"only {cpus} of {self._count} workers have a CPU now; more start as CPUs join")
        self._settings = settings
        content, self._suffix = _bundle_bytes(settings.bundle)
        self._bundle = ray.put(content)
        self._class = ray.remote(
            num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )(RayWorker)
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, tuple[int, bool]] = {}
        """Pending call to its actor's number and whether the call is `begin`."""
        self._serial = 0
        for _ in range(self._count):
            self._start()

    def _start(self) -> None:
        actor = self._class.remote(self._settings, self._bundle, self._suffix)
        self._actors[self._serial] = actor
        self._waiting[actor.begin.remote()] = (self._serial, True)
        self._serial += 1

    def give(self, worker: int, shard: Shard) -> None:
        """See `Workers`."""
        self._waiting[self._actors[worker].do.remote(shard)] = (worker, False)

    def events(self, seconds: float) -> list[Ready | Died | tuple[int, Outcome]]:
        """See `Workers`.

        Raises:
            StorageError: the cluster's head node is gone.
        """
        self._cluster.look()
        every = list(self._waiting)
        done, _ = ray.wait(every, num_returns=1, timeout=seconds)
        if done:
            done, _ = ray.wait(every, num_returns=len(every), timeout=0)
        return [self._event(each) for each in done]

    def _event(self, reference: Any) -> Ready | Died | tuple[int, Outcome]:
        worker, is_begin = self._waiting.pop(reference)
        try:
            outcome = ray.get(reference)
        except RayError as error:
            self._replace(worker)
            return Died(worker, in_words(error))
        if is_begin and outcome is None:
            return Ready(worker)
        if is_begin:
            self._replace(worker)
        return worker, outcome

    def _replace(self, worker: int) -> None:
        self._cluster.kill([self._actors.pop(worker)])
        self._start()

    def describe(self) -> str:
        """See `Workers`."""
        return f"no worker has started; {self._cluster.describe()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cluster.kill(list(self._actors.values()))
        self._cluster.close()


def _bundle_bytes(bundle: str) -> tuple[bytes, str]:
    """A bundle as the bytes of one file, and that file's extension."""
    path = Path(bundle)
    if path.suffix.lower() == ".onnx" and path.is_file():
        return path.read_bytes(), path.suffix
    with tempfile.TemporaryDirectory(prefix="pplcnet-bundle-") as folder:
        return pack(Bundle.open(path), Path(folder, "bundle.zip")).read_bytes(), ".zip"
