"""The response to `GET /metrics`, in the text format of Prometheus."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator

from pplcnet.serving.metrics import Histogram, Metrics
from pplcnet.serving.models import Models
from pplcnet.serving.pool import Pool
from pplcnet.serving.workers import Workers

__all__ = ["Exposition"]

Row = tuple[str, float]
"""Formatted labels, and a value."""

# Triton's names, so that its dashboards work: the statistic, and its divisor.
TRITON_COUNTS = {
    "nv_inference_request_success": "success",
    "nv_inference_request_failure": "fail",
}
TRITON_TIMES = {
    "nv_inference_request_duration_us": "success",
    "nv_inference_queue_duration_us": "queue",
    "nv_inference_compute_input_duration_us": "compute_input",
    "nv_inference_compute_infer_duration_us": "compute_infer",
    "nv_inference_compute_output_duration_us": "compute_output",
}


class Exposition:
    """Collects the metrics of one server."""

    def __init__(
        self,
        metrics: Metrics,
        workers: Workers,
        pool: Pool,
        models: Models,
        *,
        has_triton_names: bool = False,
    ) -> None:
        """All arguments must belong to the same server."""
        self._metrics, self._workers, self._pool, self._models = metrics, workers, pool, models
        self._has_triton_names = has_triton_names
        self._started = time.time()

    def text(self, held_bytes: int) -> str:
        """All metrics as text.

        Args:
            held_bytes: of the requests being received or answered.
        """
        lines = [*self._own(held_bytes), *self._of_models(), *self._of_process()]
        if self._has_triton_names:
            lines += self._triton()
        return "\n".join([*lines, ""])

    def _own(self, held_bytes: int) -> Iterator[str]:
        metrics, workers, pool = self._metrics, self._workers, self._pool
        yield from _lines(
            "pplcnet_requests_total",
            "counter",
            "completed requests; code 499: the client disconnected",
            (
                (_labels(model=model, version=version, code=str(status)), count)
                for (model, version, status), count in sorted(metrics.requests.items())
            ),
        )
        yield from _lines("pplcnet_photos_total", "counter", "photos answered", metrics.photos)
        yield from _lines(
            "pplcnet_refused_total",
            "counter",
            "requests refused with 503",
            ((_labels(reason=cause), count) for cause, count in sorted(metrics.refused.items())),
        )
        yield from _lines("pplcnet_queue_photos", "gauge", "waiting photos", pool.waiting)
        yield from _lines("pplcnet_queue_bytes", "gauge", "bytes of requests in memory", held_bytes)
        busy = min(pool.running, workers.alive)
        states = {"busy": busy, "idle": workers.alive - busy, "starting": workers.starting}
        yield from _lines(
            "pplcnet_workers",
            "gauge",
            "worker processes",
            ((_labels(state=state), count) for state, count in states.items()),
        )
        for name, text, value in (
            ("worker_deaths", "workers that died", workers.deaths),
            ("worker_kills", "workers killed because a photo took too long", workers.kills),
            ("retries", "photos passed on to another worker", pool.retries),
        ):
            yield from _lines(f"pplcnet_{name}_total", "counter", text, value)
        for name, text, histogram in (
            ("request", "requests to a model, from headers to response", metrics.request_seconds),
            ("queue", "a photo's waiting time", metrics.queue_seconds),
            ("decode", "decoding and resizing a photo", metrics.decode_seconds),
            ("network", "running the network for a photo", metrics.network_seconds),
        ):
            yield from _histogram(f"pplcnet_{name}_seconds", text, histogram)

    def _of_models(self) -> Iterator[str]:
        answering = [each.served for each in self._models.entries() if each.served is not None]
        yield from _lines(
            "pplcnet_model_info",
            "gauge",
            "models that are ready",
            (
                (
                    _labels(
                        model=each.name,
                        version=each.version,
                        **{key: each.facts[key] for key in ("digest", "engine", "precision")},
                    ),
                    1,
                )
                for each in answering
            ),
        )

    def _of_process(self) -> Iterator[str]:
        times = os.times()
        yield from _lines(
            "process_cpu_seconds_total", "counter", "of the front process", times[0] + times[1]
        )
        yield from _lines("process_start_time_seconds", "gauge", "since the epoch", self._started)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                with open("/proc/self/statm") as file:
                    pages = int(file.read().split()[1])
                resident = pages * os.sysconf("SC_PAGE_SIZE")
                yield from _lines(
                    "process_resident_memory_bytes", "gauge", "of the front process", resident
                )
                descriptors = len(os.listdir("/proc/self/fd"))
                yield from _lines("process_open_fds", "gauge", "of the front process", descriptors)

    def _triton(self) -> Iterator[str]:
        statistics = [
            (_labels(model=name, version=version), each)
            for (name, version), each in sorted(self._models.statistics.items())
        ]
        for name, key in TRITON_COUNTS.items():
            rows = [(labels, each.count_of(key)) for labels, each in statistics]
            yield from _lines(name, "counter", "requests", rows)
        for name in ("nv_inference_count", "nv_inference_exec_count"):
            rows = [(labels, each.photos) for labels, each in statistics]
            yield from _lines(name, "counter", "photos", rows)
        for name, key in TRITON_TIMES.items():
            rows = [(labels, each.ns_of(key) // 1000) for labels, each in statistics]
            yield from _lines(name, "counter", "microseconds", rows)
        pending = [
            (_labels(model=each.name, version=each.version), each.served.pending)
            for each in self._models.entries()
            if each.served is not None
        ]
        name = "nv_inference_pending_request_count"
        yield from _lines(name, "gauge", "requests in progress", pending)


def _labels(**labels: str) -> str:
    """Format labels. Values are names from the model table or our own and need no escaping."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _lines(name: str, kind: str, text: str, rows: Iterable[Row] | float) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    if isinstance(rows, int | float):
        rows = [("", rows)]
    for labels, value in rows:
        yield f"{name}{labels} {_number(value)}"


def _histogram(name: str, text: str, histogram: Histogram) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    for ending, label, value in histogram.rows():
        yield f"{name}{ending}{label} {_number(value)}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"
