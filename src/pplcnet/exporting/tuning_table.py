"""The table of `tune`: engine x precision x threads on this machine, judged, timed and ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import PPLCNetError
from pplcnet.exporting.reference import Compared, Reference
from pplcnet.exporting.timing import Latency, measure_latencies, measure_rates, run_in_parts
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import ENGINES, Engine, open_engine
from pplcnet.runtime.selection import Choice
from pplcnet.system.processor import available_cores
from pplcnet.system.wording import counted
from pplcnet.tasks import answers_of
from pplcnet.tasks.task import Measure

__all__ = ["Networks", "Row", "measure_rows", "rank"]

# Below this speed-up, a lower precision is not worth its loss of accuracy.
WORTHWHILE = 1.03
# Timing bursts per combination for one image at a time; a quarter as many for throughput.
ROUNDS = 12


class Row(NamedTuple):
    """One combination of variant, engine and precision, measured."""

    choice: Choice
    accuracy: float
    """The task's measure: top-1, mAP, ..."""
    agreement: float
    """The fraction of images with float32's answer: its class, or the same set of labels."""
    relative_difference: float
    """The largest difference in an output, relative to the largest value of that output."""
    latency: Latency | None
    """Latency of one image at a time; None if it may not be used."""
    threads: int
    """Threads per run, at this latency."""
    images_per_second: float | None
    """Throughput from prepared images, with one thread per core."""
    verdict: str
    """Why it may not be used; "" if it may."""
    measure: Measure
    """The measure that `accuracy` is."""

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON values, for the manifest."""
        return {
            **self.choice._asdict(),
            self.measure.key: round(self.accuracy, 6),
            "agreement": round(self.agreement, 6),
            "relative_difference": float(f"{self.relative_difference:.3g}"),
            "median_ms": round(self.latency.median_ms, 4) if self.latency else None,
            "p90_ms": round(self.latency.p90_ms, 4) if self.latency else None,
            "threads": self.threads,
            "images_per_second": round(self.images_per_second, 1)
            if self.images_per_second
            else None,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Networks:
    """The networks of a bundle that an engine can run."""

    contents: Mapping[str, bytes]
    """The content of each variant's file, by variant."""
    sizes: Sizes
    """Their input and outputs, from the manifest."""
    answers: Sequence[str]
    """The outputs that a prediction needs; no others are computed."""

    @classmethod
    def of(cls, bundle: Bundle) -> Networks:
        """Read the bundle's variants."""
        endings = tuple(kind.ending for kind in ENGINES.values())
        contents = {
            name: bundle.read(str(variant["file"]))
            for name, variant in bundle.manifest.variants.items()
            if str(variant["file"]).endswith(endings)
        }
        return cls(contents, Sizes.of(bundle.manifest), answers_of(bundle.manifest))

    def open(self, choice: Choice, *, threads: int, streams: int = 1) -> Engine:
        """Load a network; the arguments are those of `open_engine`."""
        return open_engine(
            choice.engine,
            self.contents[choice.variant],
            precision=choice.precision,
            threads=threads,
            streams=streams,
            sizes=self.sizes,
            outputs=self.answers,
        )


def measure_rows(
    networks: Networks,
    choices: Iterable[Choice],
    reference: Reference,
    max_drop: float,
    report: Callable[[str], None],
) -> list[Row]:
    """Judge every choice by the reference's images, and time those that may be used.

    Args:
        choices: what to measure; one whose engine fails is reported and left out.
        max_drop: how far the task's measure may fall below the reference's.
        report: called with lines about the progress.

    Returns:
        The rows, the best first.
    """
    cores = available_cores()
    rows: list[Row] = []
    streams: dict[Choice, Engine] = {}
    for choice in choices:
        try:
            engine = networks.open(choice, threads=1, streams=cores)
            outputs = run_in_parts(engine, reference.images, threads=cores)
            compared = reference.compare(outputs)
        except PPLCNetError as error:
            report(f"{choice}: {error}")
            continue
        row = _judge(choice, compared, reference, max_drop)
        rows.append(row)
        if not row.verdict:
            streams[choice] = engine
    image = reference.images[:1]
    counts = sorted({cores, *(2**power for power in range(cores.bit_length()))})
    single = {
        (choice, threads): networks.open(choice, threads=threads)
        for choice in streams
        for threads in counts
        if threads <= cores
    }
    report(
        f"timing {counted(len(streams), 'combination')} of engine and precision "
        f"(threads: {', '.join(map(str, counts))})"
    )
    latencies = measure_latencies(
        {way: partial(engine.run, image) for way, engine in single.items()}, rounds=ROUNDS
    )
    rates = measure_rates(
        {choice: partial(engine.run, image) for choice, engine in streams.items()},
        threads=cores,
        rounds=max(1, ROUNDS // 4),
    )
    return rank([_timed(row, latencies, rates) for row in rows])


def _judge(choice: Choice, compared: Compared, reference: Reference, max_drop: float) -> Row:
    judged, difference = compared
    drop = judged.drop(reference.judged)
    verdict = ""
    # Written so that NaN is rejected.
    if choice.precision == "float32" and not difference <= reference.tolerance:
        verdict = f"differs by {difference:.1e} of the largest value of an output"
    elif not drop.amount <= max_drop:
        verdict = f"loses {drop.amount:.4f} of {drop.of}"
    return Row(
        choice,
        accuracy=judged.value,
        agreement=judged.agreement(reference.judged),
        relative_difference=difference,
        latency=None,
        threads=0,
        images_per_second=None,
        verdict=verdict,
        measure=reference.measure,
    )


def _timed(
    row: Row, latencies: Mapping[tuple[Choice, int], Latency], rates: Mapping[Choice, float]
) -> Row:
    own = {threads: each for (choice, threads), each in latencies.items() if choice == row.choice}
    if not own:
        return row
    threads = min(own, key=lambda count: own[count].median_ms)
    return row._replace(latency=own[threads], threads=threads, images_per_second=rates[row.choice])


def _cost(row: Row) -> float:
    """Latency over throughput, so both count equally."""
    if row.latency is None or not row.images_per_second:
        return float("inf")
    return row.latency.median_ms / row.images_per_second


def rank(rows: list[Row]) -> list[Row]:
    """Sort rows, the best first, unusable ones last; a row not worth its loss gets a verdict."""
    exact = min((_cost(row) for row in rows if row.choice.precision == "float32"), default=0.0)
    judged = [
        row._replace(verdict="not used: no faster than float32 here")
        if not row.verdict
        and row.choice.precision != "float32"
        and _cost(row) * WORTHWHILE**2 > exact
        else row
        for row in rows
    ]
    return sorted(judged, key=lambda row: (bool(row.verdict), _cost(row)))
