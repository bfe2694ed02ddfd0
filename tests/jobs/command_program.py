"""A program for tests of commands that Ray starts: says what it was given, or waits for SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import time

if __name__ == "__main__":
    word, *rest = sys.argv[1:]
    print("place", os.getcwd(), os.environ.get("PLACE"), *rest, flush=True)
    if word == "ends":
        print("error: no reason", file=sys.stderr)
        sys.exit(int(rest[0]))

    def stop(number: int, _: object) -> None:
        print("saved", flush=True)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    while True:
        time.sleep(0.05)
