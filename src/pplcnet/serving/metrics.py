"""Server-wide counters and histograms since start-up."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from pplcnet.serving.jobs import PhotoAnswer

__all__ = ["Histogram", "Metrics"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds."""


class Histogram:
    """How many values are at most each of BUCKETS."""

    def __init__(self) -> None:
        """Empty."""
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Add a value."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """Yield a histogram's rows for Prometheus: name suffix, label and value."""
        total = 0
        for limit, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            yield "_bucket", f'{{le="{limit}"}}', total
        yield "_sum", "", self._sum
        yield "_count", "", total


class Metrics:
    """Counts since the start of the server."""

    def __init__(self) -> None:
        """All zero."""
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By model, version and status; model and version are "" if no model was found."""
        self.refused: Counter[str] = Counter()
        """Refusals with 503, by cause."""
        self.photos = 0
        self.request_seconds, self.queue_seconds = Histogram(), Histogram()
        self.decode_seconds, self.network_seconds = Histogram(), Histogram()

    def count_request(self, model: str, version: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self.requests[model, version, status] += 1
        if model:
            self.request_seconds.add(seconds)

    def count_photo(self, answer: PhotoAnswer) -> None:
        """Count a photo that was answered."""
        self.photos += 1
        self.queue_seconds.add(answer.queue_ns / 1e9)
        self.decode_seconds.add(answer.decode_ns / 1e9)
        self.network_seconds.add(answer.network_ns / 1e9)
