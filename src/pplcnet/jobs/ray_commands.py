"""Run a pplcnet command on several machines of a Ray cluster, as processes placed by Ray.

Ray starts the processes and reports a lost one; they coordinate among themselves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import IO, Any, Self

import ray
from ray.exceptions import RayError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pplcnet.errors import InputError, StorageError
from pplcnet.jobs.command_events import Began, Ended, Events, Line
from pplcnet.jobs.ray_cluster import Cluster, in_words, share_of
from pplcnet.system.wording import counted

__all__ = ["RayCommands"]

PROGRAM = ("pplcnet",)
"""The module to run, before the words of a command."""
WAIT = 0.5
PATIENCE = 10.0
"""Seconds without enough free CPUs before that is reported."""
END_SECONDS = 5.0
SENT_ALONG = ("KERAS_BACKEND",)
"""Environment variables that are passed on to the processes."""


class RayCommand:
    """The actor that runs the process of one command."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []
        self._lines: SimpleQueue[Line] = SimpleQueue()

    def address(self) -> str:
        """HOST:PORT with a free port of this machine."""
        host = ray.util.get_node_ip_address()
        with socket.create_server(("", 0)) as listening:
            port = listening.getsockname()[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self, words: Sequence[str], environment: Mapping[str, str], folder: str) -> Events:
        """Start `python -m WORDS` in a folder."""
        if not os.path.isdir(folder):
            host = socket.gethostname()
            text = f"error: no folder {folder} on {host}; start in one that all machines have."
            return [Line(self._index, text, is_error=True), Ended(self._index, 2, "")]
        read, self._ours = os.pipe()  # closed when this process ends
        self._process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", "pplcnet.jobs.kept_process", str(read), *words],
            pass_fds=(read,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
            cwd=folder,
        )
        os.close(read)
        for stream, is_error in ((self._process.stdout, False), (self._process.stderr, True)):
            reader = threading.Thread(target=self._read, args=(stream, is_error), daemon=True)
            reader.start()
            self._readers.append(reader)
        return [Began(self._index, socket.gethostname(), self._process.pid)]

    def _read(self, stream: IO[bytes], is_error: bool) -> None:
        for line in stream:
            text = line.decode(errors="replace").rstrip("\r\n")
            self._lines.put(Line(self._index, text, is_error))

    def events(self) -> Events:
        """What was written since the last call, after a short wait at most; last, how it ended."""
        assert self._process is not None  # noqa: S101 - `start` made it
        found: Events = []
        with contextlib.suppress(Empty):
            found.append(self._lines.get(timeout=WAIT))
        if not found and self._process.poll() is not None:
            for each in self._readers:
                each.join(END_SECONDS)
        with contextlib.suppress(Empty):
            while True:
                found.append(self._lines.get_nowait())
        if not found and (code := self._process.poll()) is not None:
            reason = "" if code >= 0 else f"ended by {signal.Signals(-code).name}"
            found.append(Ended(self._index, code, reason))
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


class RayCommands:
    """Processes of a command, each with its share of the cluster's CPUs."""

    def __init__(
        self, cluster: Cluster, count: int, say: Callable[[str], None], *, start_together: bool
    ) -> None:
        """Find room for the processes; none of them is started yet.

        Args:
            count: number of processes.
            say: called with a line about what is being waited for.
            start_together: wait until there is room for all of them and reserve it; the
                first one runs on this machine if that has enough CPUs.

        Raises:
            InputError: the cluster has fewer CPUs than processes.
            StorageError: the cluster's head node is gone.
        """
        self._cluster = cluster
        self._share = share_of(cluster.machines(), count)
        if not self._share:
            raise InputError(
                f"{counted(count, 'process')} cannot be started: {cluster.describe()}, and each "
                "needs one at least."
            )
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, int] = {}
        self._group = self._reserve(count, say) if start_together else None

    def _reserve(self, count: int, say: Callable[[str], None]) -> PlacementGroup:
        first = {**self._share, **self._cluster.here(self._share)}
        group = placement_group([first, *[self._share] * (count - 1)], strategy="SPREAD")
        begun, is_said = time.monotonic(), False
        while not group.wait(WAIT):
            self._cluster.look()
            if not is_said and time.monotonic() - begun > PATIENCE:
                cpus = counted(int(self._share["CPU"]), "CPU")
                say(f"waiting for {count} x {cpus}; {self._cluster.describe()}")
                is_said = True
        return group

    def _place(self, index: int) -> Any:
        """The actor of a process, created if needed."""
        if index not in self._actors:
            strategy = "SPREAD"
            if self._group is not None:
                strategy = PlacementGroupSchedulingStrategy(
                    self._group, placement_group_bundle_index=index
                )
            self._actors[index] = (
                ray.remote(RayCommand)
                .options(
                    num_cpus=self._share["CPU"],
                    num_gpus=self._share.get("GPU", 0),
                    max_restarts=0,
                    max_task_retries=0,
                    scheduling_strategy=strategy,
                )
                .remote(index)
            )
        return self._actors[index]

    def addresses(self, count: int) -> list[str]:
        """HOST:PORT for each of the first `count` processes, on the machine where it will run.

        Raises:
            StorageError: a machine cannot start processes, or the cluster's head node is gone.
        """
        references = [self._place(index).address.remote() for index in range(count)]
        while ray.wait(references, num_returns=count, timeout=WAIT)[1]:
            self._cluster.look()
        try:
            return list(ray.get(references))
        except RayError as error:
            raise StorageError(
                f"the Ray cluster cannot start processes: {in_words(error)}. Every machine needs "
                "the same Python and pplcnet."
            ) from error

    def start(self, index: int, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a pplcnet command in this process's working directory."""
        sent = {name: os.environ[name] for name in SENT_ALONG if name in os.environ}
        command = [*PROGRAM, *words]
        actor = self._place(index)
        reference = actor.start.remote(command, {**sent, **environment}, os.getcwd())
        self._waiting[reference] = index

    def events(self, seconds: float) -> Events:
        """What has happened, after waiting at most `seconds`.

        Raises:
            StorageError: the cluster's head node is gone.
        """
        self._cluster.look()
        every = list(self._waiting)
        if not every:
            time.sleep(seconds)
            return []
        done, _ = ray.wait(every, num_returns=1, timeout=seconds)
        if done:
            done, _ = ray.wait(every, num_returns=len(every), timeout=0)
        return [event for reference in done for event in self._events_of(reference)]

    def _events_of(self, reference: Any) -> Events:
        index = self._waiting.pop(reference)
        try:
            found: Events = ray.get(reference)
        except RayError as error:
            found = [Ended(index, None, in_words(error))]
        if not any(isinstance(each, Ended) for each in found):
            self._waiting[self._actors[index].events.remote()] = index
        return found

    def stop(self) -> None:
        """Ask all processes to save and exit."""
        for actor in self._actors.values():
            actor.signal.remote(signal.SIGTERM)

    def remove(self, index: int) -> None:
        """Forget a process that ended, so that another can be started in its place."""
        self._cluster.kill([self._actors.pop(index)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._cluster.is_headless:
            kills = [each.signal.remote(signal.SIGKILL) for each in self._actors.values()]
            if kills:
                ray.wait(kills, num_returns=len(kills), timeout=END_SECONDS)
            self._cluster.kill(list(self._actors.values()))
            if self._group is not None:
                remove_placement_group(self._group)
