"""The other side of `OtherProcess`: answers requests on stdin, one JSON line each way."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["serve"]

Build = Callable[[str, tuple[int, int]], Callable[[], object] | None]


def serve(version: str, build: Build) -> None:
    """Until stdin ends, "load" networks, made by `build`, and "run" those that were loaded.

    Args:
        version: of the framework.
        build: (network's name in the catalog, image size) to a function that runs one image; None
            for a network that the framework does not have.
    """
    loaded: dict[str, Callable[[], object]] = {}
    _say({"version": version})
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            height, width = request["image_size"]
            run = build(request["load"], (height, width))
            if run is not None:
                loaded[request["load"]] = run
            _say(run is not None)
        else:
            started = time.perf_counter()
            loaded[request["run"]]()
            _say((time.perf_counter() - started) * 1000)


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
