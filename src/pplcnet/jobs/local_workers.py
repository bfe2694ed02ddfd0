"""Workers on this machine: one process per core."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Self

from pplcnet.jobs.driver import Died, Ready
from pplcnet.jobs.plan import Shard
from pplcnet.jobs.worker import Failed, Outcome, Settings
from pplcnet.system.wording import counted

__all__ = ["LocalWorkers"]

END_SECONDS = 5.0


class _Process:
    """One worker process, and our end of its connection."""

    def __init__(self, settings: Settings) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "pplcnet.jobs.worker_process", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self.connection = Connection(ours.detach())
        with contextlib.suppress(OSError):  # it is already dead, which `events` will notice
            self.connection.send(settings)

    def end(self) -> str:
        """Kill it if it is alive; returns how it ended."""
        self.connection.close()
        if self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2)  # a process that has just ended may still look alive
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait(END_SECONDS)
        if code < 0:
            return f"a worker process was ended by {signal.Signals(-code).name}"
        return f"a worker process ended with exit code {code}"


class LocalWorkers:
    """A fixed number of processes; one that dies is replaced."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._processes: dict[int, _Process] = {}
        self._serial = 0
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        self._processes[self._serial] = _Process(self._settings)
        self._serial += 1

    def give(self, worker: int, shard: Shard) -> None:
        """See `Workers`."""
        with contextlib.suppress(OSError):  # `events` will notice that it died
            self._processes[worker].connection.send(shard)

    def events(self, seconds: float) -> list[Ready | Died | tuple[int, Outcome]]:
        """See `Workers`."""
        places = {each.connection: worker for worker, each in self._processes.items()}
        found: list[Ready | Died | tuple[int, Outcome]] = []
        for connection in wait(list(places), seconds):
            assert isinstance(connection, Connection)  # noqa: S101 - for the type checker
            worker = places[connection]
            try:
                message: Outcome | None = connection.recv()
            except (EOFError, OSError):
                found.append(Died(worker, self._processes.pop(worker).end()))
                self._start()
                continue
            found.append(Ready(worker) if message is None else (worker, message))
            if isinstance(message, Failed) and message.number < 0:
                self._processes.pop(worker).end()
                self._start()
        return found

    def describe(self) -> str:
        """See `Workers`."""
        return f"{counted(len(self._processes), 'worker process')} on this machine"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each in self._processes.values():
            each.process.kill()
        for each in self._processes.values():
            each.end()
