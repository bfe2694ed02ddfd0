"""A worker process of a job on this machine: `python -m pplcnet.jobs.worker_process DESCRIPTOR`.

It exits when the other end of the connection closes, however the driver ended, and leaves Ctrl-C
to the driver.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pplcnet.jobs.plan import Shard

__all__ = ["main"]


def main(descriptor: int) -> None:
    """Process one shard after another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Imported once Ctrl-C is ignored: it takes a second, and Ctrl-C would print a traceback.
    from pplcnet.jobs.worker import Worker, start_failure

    connection = Connection(descriptor)
    settings = connection.recv()
    shards: SimpleQueue[Shard] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, shards), daemon=True).start()
    try:
        worker = Worker(settings)
    except Exception as error:  # noqa: BLE001 - told to the driver
        connection.send(start_failure(error))
        return
    connection.send(None)
    while True:
        connection.send(worker.do(shards.get()))


def _receive(connection: Connection, shards: SimpleQueue[Shard]) -> None:
    """Runs in a thread, so that the end of the driver is noticed during a shard too."""
    while True:
        try:
            shards.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
