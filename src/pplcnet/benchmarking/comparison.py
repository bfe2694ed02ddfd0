"""compare: time networks and engines on this machine, interleaved, against the machine's limits."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

from pplcnet.benchmarking.limits import Limits, measure_limits
from pplcnet.benchmarking.others.worker_process import OtherProcess
from pplcnet.benchmarking.subjects import Subject
from pplcnet.bundle.manifest import today
from pplcnet.errors import BundleError, InputError
from pplcnet.exporting.timing import Latency, measure_latencies, measure_rates
from pplcnet.runtime.engines.engine import Engine, installed_engines, open_engine
from pplcnet.system.processor import (
    available_cores,
    has_bfloat16,
    processor_features,
    processor_name,
)
from pplcnet.system.wording import counted

__all__ = ["Comparison", "Measurement", "compare", "measurement_of", "open_ways"]


# Image size for which the catalog's accuracies were reported.
REPORTED_SIZE = 224


class Measurement(NamedTuple):
    """The result for one network and one way of running it."""

    network: str
    family: str
    """ "" for a bundle."""
    way: str
    """Engine and precision, or another framework."""
    median_ms: float
    p90_ms: float
    images_per_second: float | None
    """With one thread per core; None for other frameworks."""
    macs: int
    parameters: int
    reported_top1: float | None
    """Fraction; for the original's ImageNet weights, None for a bundle and at other sizes."""
    of_limit: float | None
    """The machine's lower bound on the time as a fraction of the median; 1 would be perfect."""


class Comparison(NamedTuple):
    """The result of `compare`."""

    measurements: list[Measurement]
    limits: Limits
    facts: dict[str, Any]
    """Machine, versions, settings and date."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.facts,
            "limits": self.limits._asdict(),
            "measurements": [each._asdict() for each in self.measurements],
        }


def compare(
    subjects: Sequence[Subject],
    *,
    threads: int | None = None,
    rounds: int = 12,
    others: Mapping[str, OtherProcess] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Measure every subject in every installed engine, interleaved, on pinned cores.

    Args:
        threads: for one image; also the number of cores for many images. None for all.
        rounds: measurements of each way of running.
        others: other frameworks by name, already running in their own processes.
        report: called with a line for each step, and for each way that an engine rejects.

    Raises:
        InputError: no subjects, or more threads than cores.
    """
    cores = available_cores()
    threads = threads or cores
    if not subjects or not 1 <= threads <= cores or rounds < 1:
        raise InputError(
            f"{counted(len(subjects), 'network')} on {counted(threads, 'thread')}, "
            f"{counted(rounds, 'round')}; at least one of "
            f"each is needed, and this process may use {counted(cores, 'core')}."
        )
    with _pinned(threads):
        report(f"measuring the machine's limits on {counted(threads, 'thread')}")
        limits = measure_limits(threads)
        single: dict[tuple[str, str], Callable[[], object]] = {}
        many: dict[tuple[str, str], Callable[[], object]] = {}
        named = {subject.name: subject for subject in subjects}
        for subject in subjects:
            image = np.random.default_rng(0).integers(0, 256, (1, *subject.image_size, 3), np.uint8)
            for way, engine in open_ways(subject, threads, 1, report):
                single[subject.name, way] = partial(engine.run, image)
            for way, engine in open_ways(subject, 1, threads, lambda line: None):
                many[subject.name, way] = partial(engine.run, image)
            for other, process in (others or {}).items():
                if process.load(subject.name, subject.image_size):
                    single[subject.name, other] = partial(process.run, subject.name)
        report(f"timing {len(single)} ways of running {counted(len(subjects), 'network')}")
        latencies = measure_latencies(single, rounds=rounds)
        report("timing many images at once")
        rates = measure_rates(many, threads=threads, rounds=min(3, rounds))
    measurements = [
        measurement_of(named[name], way, latency, rates.get((name, way)), limits)
        for (name, way), latency in latencies.items()
    ]
    return Comparison(measurements, limits, _facts(threads, rounds, others or {}))


def open_ways(
    subject: Subject, threads: int, streams: int, report: Callable[[str], None]
) -> Iterator[tuple[str, Engine]]:
    """Yield every engine and precision that can run the subject here, and the opened engine.

    Ways that an engine rejects are reported and skipped.
    """
    wanted = [("onnxruntime", "float32", "float32"), ("openvino", "float32", "float32")]
    if has_bfloat16(processor_features()):
        wanted.append(("openvino", "bfloat16", "float32"))
    wanted.append(("openvino", "int8", "int8"))
    if has_bfloat16(processor_features()):
        wanted.append(("openvino", "int8-bfloat16", "int8"))
    for engine, precision, content in wanted:
        if engine in installed_engines() and content in subject.contents:
            try:
                opened = open_engine(
                    engine,
                    subject.contents[content],
                    precision=precision,
                    threads=threads,
                    streams=streams,
                )
            except BundleError as error:
                report(f"{subject.name}, {engine} {precision}: {error}")
                continue
            yield f"{engine} {precision}", opened


def measurement_of(
    subject: Subject, way: str, latency: Latency, rate: float | None, limits: Limits
) -> Measurement:
    """One row of the table: a subject's times for one way of running, next to the limits."""
    precision = way.rpartition(" ")[2]
    least = limits.least_ms(subject.macs, subject.parameters, precision)
    return Measurement(
        network=subject.name,
        family=subject.row.family if subject.row else "",
        way=way,
        median_ms=round(latency.median_ms, 4),
        p90_ms=round(latency.p90_ms, 4),
        images_per_second=None if rate is None else round(rate, 1),
        macs=subject.macs,
        parameters=subject.parameters,
        reported_top1=_reported_top1(subject),
        of_limit=None if least is None else round(least / latency.median_ms, 3),
    )


def _reported_top1(subject: Subject) -> float | None:
    """None for a bundle, or if the size differs from that of the reported accuracy."""
    is_same = subject.image_size == (REPORTED_SIZE, REPORTED_SIZE)
    return subject.row.reported_top1 if subject.row and is_same else None


@contextlib.contextmanager
def _pinned(threads: int) -> Iterator[None]:
    """Pin this process to its first cores, if the system allows it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _facts(threads: int, rounds: int, others: Mapping[str, OtherProcess]) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for name in ("pplcnet", "onnxruntime", "openvino", "nncf", "keras", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "measured": today(),
        "processor": processor_name(),
        "system": platform.platform(),
        "instructions": sorted(
            each for each in processor_features() if each.startswith(("avx", "amx", "asimd", "sve"))
        ),
        "threads": threads,
        "rounds": rounds,
        "versions": versions | {name: other.version for name, other in others.items()},
    }
