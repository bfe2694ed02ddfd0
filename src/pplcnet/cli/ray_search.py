"""`train --search TIME --on ray`: processes on a Ray cluster run the trials of a search.

Each process gets the original command; its environment tells it that it is a helper.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pplcnet.cli.console import Console
from pplcnet.errors import StorageError
from pplcnet.jobs.command_events import Began, Ended, LastLines, Line
from pplcnet.system.processor import available_cores
from pplcnet.training.search_sharing import Process

if TYPE_CHECKING:
    from pplcnet.jobs.ray_cluster import Cluster
    from pplcnet.jobs.ray_commands import RayCommands

__all__ = ["RAY_HELPER", "searched_on_ray"]

RAY_HELPER = "PPLCNET_RAY_HELPER"
"""Set in the environment of a process that helps with its command's search."""
PATIENCE = 30.0
"""Seconds without any process before the cluster's free CPUs are reported."""
MOST_FAILED_STARTS = 3
"""Processes in a row that may end soon after they started."""
SOON = 60.0


@contextlib.contextmanager
def searched_on_ray(
    arguments: argparse.Namespace, console: Console
) -> Iterator[Callable[[], set[Process]]]:
    """See `SearchedBy`.

    Raises:
        InputError, StorageError: no suitable cluster, or it is gone.
    """
    from pplcnet.jobs.ray_cluster import Cluster
    from pplcnet.jobs.ray_commands import RayCommands

    cluster = Cluster(
        arguments.address, max(arguments.workers or 1, available_cores()), console.say
    )
    try:
        machines = sum(each.get("CPU", 0) >= 1 for each in cluster.machines())
        count = arguments.workers or max(1, machines)
        with RayCommands(cluster, count, console.say, start_together=False) as commands:
            yield _Helpers(commands, cluster, arguments.words, count, console).look
    finally:
        cluster.close()


class _Helpers:
    """The processes that search; a lost one is replaced."""

    def __init__(
        self,
        commands: RayCommands,
        cluster: Cluster,
        words: list[str],
        count: int,
        console: Console,
    ) -> None:
        self._commands, self._cluster, self._console = commands, cluster, console
        self._words = words
        self._processes: dict[int, Process] = {}
        self._began: dict[int, float] = {}
        self._errors: dict[int, LastLines] = {}
        self._ended: set[Process] = set()
        self._left = count
        self._failed_starts = 0
        self._say_at: float | None = time.monotonic() + PATIENCE
        for index in range(count):
            self._start(index)

    def _start(self, index: int) -> None:
        self._errors[index] = LastLines()
        self._commands.start(index, self._words, {RAY_HELPER: "1"})

    def look(self) -> set[Process]:
        """See `SearchedBy`."""
        for event in self._commands.events(0):
            if isinstance(event, Began):
                self._processes[event.number] = event.host, event.pid
                self._began[event.number] = time.monotonic()
                self._say_at = None
            elif isinstance(event, Line) and event.is_error:
                self._errors[event.number].add(event.text)
            elif isinstance(event, Ended):
                self._take_end(event)
        if self._say_at is not None and time.monotonic() > self._say_at:
            self._console.say(f"no process is searching yet; {self._cluster.describe()}")
            self._say_at = None
        return self._ended

    def _take_end(self, event: Ended) -> None:
        process = self._processes.pop(event.number, None)
        place = "a process"
        if process is not None:
            self._ended.add(process)
            place = f"a process on {process[0]}"
        if event.code == 0:
            self._left -= 1
            return
        ran = time.monotonic() - self._began.get(event.number, time.monotonic())
        self._failed_starts = 0 if ran > SOON else self._failed_starts + 1
        if event.is_lost and self._failed_starts < MOST_FAILED_STARTS:
            self._console.say(f"{place} was lost ({event.reason}); its trial will be done again")
            self._commands.remove(event.number)
            self._start(event.number)
            return
        reason = self._errors[event.number].complaint() or event.reason
        self._left -= 1
        if not self._left:
            raise StorageError(f"no process is searching any more; {place} says: {reason}")
        self._console.say(f"{place} is no longer searching: {reason}")
