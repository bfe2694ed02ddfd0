"""Counters and histograms, in the text that Prometheus reads."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from pplcnet.serving.refusals import Refusal
from pplcnet.serving.service import Caller

__all__ = ["Histogram", "Metrics"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper limits in seconds."""


class Histogram:
    """How many values are at most as great as each of BUCKETS."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """One more value."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str) -> Iterator[str]:
        """The lines of a metric."""
        total = 0
        for limit, count in zip((*BUCKETS, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{limit}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """What has happened since the start."""

    def __init__(self) -> None:
        self.started = time.time()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._refused: Counter[str] = Counter()
        self.photos = 0
        self._histograms = {name: Histogram() for name in ("request", "queue", "work")}

    def count_request(self, caller: Caller, status: int, seconds: float) -> None:
        """A request has ended."""
        served = caller.served
        model, version = (served.name, served.version) if served is not None else ("", "")
        self._requests[model, version, status] += 1
        if caller.photos and status == 200:
            self.photos += caller.photos
            self._histograms["request"].add(seconds)
            self._histograms["queue"].add(caller.queue_ns / 1e9)
            self._histograms["work"].add(caller.work_ns / 1e9)

    def count_refused(self, refusal: Refusal) -> None:
        """A request was refused with 503."""
        self._refused[refusal.cause or "other"] += 1

    def count_unread(self, status: int) -> None:
        """A request ended before the application saw it."""
        self._requests["", "", status] += 1
