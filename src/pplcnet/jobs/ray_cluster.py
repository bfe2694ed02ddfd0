"""The connection to a Ray cluster, or to one that is started on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from pplcnet.errors import InputError, StorageError
from pplcnet.system.wording import counted, printable

__all__ = ["Cluster", "in_words", "share_of"]

LOOK_SECONDS = 5.0
"""How often the cluster's head node is checked."""
MOST_MISSES = 3
CONNECT_SECONDS = 10.0
OBJECT_STORE_BYTES = 256 << 20
"""For a cluster on this machine alone, which stores the bundle and nothing else."""


class Cluster:
    """The cluster that this process is connected to; a process has at most one."""

    def __init__(self, address: str | None, cpus: int, say: Callable[[str], None]) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            address: of a cluster; "auto" for the one that this machine belongs to; None for
                RAY_ADDRESS or, if that is not set, a cluster on this machine alone.
            cpus: number of CPUs of a cluster on this machine alone.
            say: called with a line about the cluster.

        Raises:
            InputError: it is not the address of a cluster's head node.
            StorageError: no cluster answers at the address.
        """
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        address = address or os.environ.get("RAY_ADDRESS")
        if address not in (None, "auto"):
            _check_address(str(address))
        options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if address is None:
            options |= {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES}
            options |= {"include_dashboard": False}
        try:
            with _own_handler_kept():
                ray.init(address or "local", **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise StorageError(
                f"{address or 'this machine'}: no Ray cluster can be reached "
                f"({printable(str(error))})."
            ) from error
        self._misses = 0
        self._looked = time.monotonic()
        self.is_headless = False
        machines = counted(len(self.machines()), "machine")
        say(f"Ray cluster with {counted(self.cpus(), 'CPU')} on {machines}")

    def cpus(self) -> int:
        """The current number of CPUs of the whole cluster."""
        return int(ray.cluster_resources().get("CPU", 0))

    def machines(self) -> list[dict[str, float]]:
        """The resources of each machine in the cluster, under Ray's names, such as CPU and GPU."""
        return [dict(each["Resources"]) for each in ray.nodes() if each["Alive"]]

    def here(self, share: dict[str, float]) -> dict[str, float]:
        """What a process must request besides its share to run on this machine; {} if it cannot."""
        own = ray.get_runtime_context().get_node_id()
        for each in ray.nodes():
            if each["NodeID"] == own and each["Resources"].get("CPU", 0) >= share["CPU"]:
                return {f"node:{each['NodeManagerAddress']}": 0.001}
        return {}

    def describe(self) -> str:
        """Its CPUs and how many are free, in words."""
        try:
            _connect(ray.get_runtime_context().gcs_address, LOOK_SECONDS)
        except OSError:  # Ray would wait for it and then end this process
            return "the head node of the Ray cluster does not respond"
        free = int(ray.available_resources().get("CPU", 0))
        return f"the Ray cluster has {counted(self.cpus(), 'CPU')}, {free} of them free"

    def look(self) -> None:
        """Raise StorageError once the cluster's head node is gone; call it repeatedly.

        Ray itself would wait for a minute and then end this process without a message.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS / MOST_MISSES:
            return
        self._looked = now
        address = ray.get_runtime_context().gcs_address
        try:
            _connect(address, LOOK_SECONDS)
            self._misses = 0
        except OSError as error:
            self._misses += 1
            if self._misses >= MOST_MISSES:
                self.is_headless = True
                raise StorageError(
                    f"the head node of the Ray cluster at {address} is gone; run the same command "
                    "again once there is a cluster."
                ) from error

    def kill(self, actors: Sequence[Any]) -> None:
        """End actors and whatever they started."""
        if self.is_headless:
            return
        for actor in actors:
            try:
                ray.kill(actor)  # an unreachable one would keep its CPU
            except RayError:
                continue

    def close(self) -> None:
        """Disconnect, and shut down a cluster that was started here."""
        ray.shutdown()


def share_of(machines: Sequence[dict[str, float]], count: int) -> dict[str, float]:
    """The resources for each of `count` processes: as many CPUs as fit that often, on any machines.

    Empty if the cluster has fewer than `count` CPUs. Includes one GPU if there are that many GPUs.
    """
    cpus = [int(each.get("CPU", 0)) for each in machines]
    share = max(cpus, default=0)
    while share and sum(each // share for each in cpus) < count:
        share -= 1
    if not share:
        return {}
    has_gpus = sum(int(each.get("GPU", 0)) for each in machines) >= count
    return {"CPU": float(share), **({"GPU": 1.0} if has_gpus else {})}


@contextlib.contextmanager
def _own_handler_kept() -> Iterator[None]:
    """Keep our SIGTERM handler, with which runs save their state; Ray installs its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def in_words(error: RayError) -> str:
    """Ray's error on one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {printable(lines[0]) if lines else ''}"


def _connect(address: str, seconds: float) -> None:
    """Raise OSError if nothing listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()


def _check_address(address: str) -> None:
    """Check that a cluster answers there; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise InputError(
            f"{address}: is not the address of a Ray cluster; give HOST:PORT, or auto."
        )
    try:
        _connect(address, CONNECT_SECONDS)
    except OSError as error:
        raise StorageError(
            f"{address}: no Ray cluster can be reached ({error.strerror or error})."
        ) from error
