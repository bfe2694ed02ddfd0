"""Runs engines on many images, and measures their latency and throughput."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.engines.engine import Engine, join_outputs, run_padded
from pplcnet.system.processor import available_cores
from pplcnet.tasks.task import Outputs

__all__ = [
    "Latency",
    "measure_latencies",
    "measure_rates",
    "prepare",
    "run_all",
    "run_in_parts",
]

Way = TypeVar("Way", bound=Hashable)

# After a run, an engine's threads spin for a while and slow down the next engine.
SETTLE_S = 0.02
PART = 64
"""Images whose outputs `run_in_parts` has in memory at a time."""


class Latency(NamedTuple):
    """Milliseconds of one run."""

    median_ms: float
    p90_ms: float


def prepare(
    preprocessing: Preprocessing, images: Sequence[str | PathLike[str]]
) -> NDArray[np.uint8]:
    """The photos as network input, (N, height, width, 3) uint8."""
    with ThreadPoolExecutor(available_cores()) as pool:
        return np.stack(list(pool.map(preprocessing, map(Path, images))))


def run_all(engine: Engine, images: NDArray[np.uint8], *, threads: int = 1) -> Outputs:
    """Outputs (N, ...) for N >= 1 prepared images, whatever batch the engine takes."""
    batch = engine.batch_size or 32
    parts = [images[at : at + batch] for at in range(0, len(images), batch)]
    with ThreadPoolExecutor(threads) as pool:
        return join_outputs(list(pool.map(partial(run_padded, engine), parts)))


def run_in_parts(
    engine: Engine, images: NDArray[np.uint8], *, threads: int = 1
) -> Iterator[Outputs]:
    """Yield the same a few images at a time, for outputs too large to keep in memory."""
    for start in range(0, len(images), PART):
        yield run_all(engine, images[start : start + PART], threads=threads)


def measure_latencies(
    ways: Mapping[Way, Callable[[], object]], *, rounds: int = 12, burst_s: float = 0.05
) -> dict[Way, Latency]:
    """Time several calls, interleaved so that their ratios hold even if the machine's speed drifts.

    Args:
        ways: the functions to call; one that returns a float has timed itself, in milliseconds.
        rounds: number of bursts of each.
        burst_s: seconds per burst, after three runs that are not counted.
    """
    times: dict[Way, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            time.sleep(SETTLE_S)
            for _ in range(3):
                run()
            started = time.perf_counter()
            end = started + burst_s
            while started < end:  # at least once, even if the machine is busy
                own = run()
                now = time.perf_counter()
                times[way].append(own if isinstance(own, float) else (now - started) * 1000)
                started = now
    return {
        way: Latency(statistics.median(each), float(np.percentile(each, 90)))
        for way, each in times.items()
    }


def measure_rates(
    ways: Mapping[Way, Callable[[], object]],
    *,
    threads: int,
    rounds: int = 3,
    burst_s: float = 0.3,
) -> dict[Way, float]:
    """Runs per second of each call from `threads` threads at once; the median of the rounds."""
    rates: dict[Way, list[float]] = {way: [] for way in ways}
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            for way, run in ways.items():
                time.sleep(SETTLE_S)
                list(pool.map(lambda _, run=run: run(), range(threads * 3)))

                def count(run: Callable[[], object] = run) -> float:
                    done, started = 0, time.perf_counter()
                    now = started
                    while now < started + burst_s:
                        run()
                        done += 1
                        now = time.perf_counter()
                    return done / (now - started)

                rates[way].append(sum(pool.map(lambda _, count=count: count(), range(threads))))
    return {way: statistics.median(each) for way, each in rates.items()}
