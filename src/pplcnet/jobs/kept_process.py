"""A command that ends with its parent process: `... DESCRIPTOR MODULE WORD ...`.

Runs `python -m MODULE WORD ...` and stops it, as SIGTERM does, when the other end of the pipe
closes, however the parent ended.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

__all__ = ["main"]

STOP_SECONDS = 120.0
"""Time to save what there is; then the process is killed."""


def main(descriptor: int, module: str, words: list[str]) -> None:
    """Run the command in this process."""
    threading.Thread(target=_watch, args=(descriptor,), daemon=True).start()
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
