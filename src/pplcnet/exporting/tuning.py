"""tune: every way of running a bundle measured on this machine; the best is used from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import metadata
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import today
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError, PPLCNetError
from pplcnet.exporting.images import (
    VALIDATION_LIMIT,
    check_max_drop,
    evenly_chosen,
    match_validation,
)
from pplcnet.exporting.timing import (
    Latency,
    measure_latencies,
    measure_rates,
    prepare,
    run_all,
)
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import ENGINES, Engine, installed_engines, open_engine
from pplcnet.runtime.selection import DEFAULT, Choice, choices_of
from pplcnet.system.processor import available_cores, processor_features, processor_name
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.tasks.task import Judge, Measure, Outputs

__all__ = ["Resizing", "Row", "Tuning", "tune"]

# As between the exported network and Keras: another order of the same float32 arithmetic.
MAX_RELATIVE_DIFFERENCE = 1e-4
MIN_AGREEMENT = 0.995
# Below this a lower precision is no gain worth its loss.
WORTHWHILE = 1.03
# Turns that each way has, one image at a time; a quarter of them with many.
ROUNDS = 12


class Row(NamedTuple):
    """One way of running the bundle, measured."""

    choice: Choice
    accuracy: float
    """Top-1, or the mAP of a multi-label network."""
    agreement: float
    """Part of the images with float32's answer: its class, or the same set of labels."""
    relative_difference: float
    """Largest difference of a logit, as part of the largest logit."""
    latency: Latency | None
    """One image at a time; None for what may not be used."""
    threads: int
    """That give this latency."""
    images_per_second: float | None
    """From prepared images, a thread a core."""
    verdict: str
    """ "" for what may be used, else why not."""
    measure: Measure
    """What `accuracy` is."""

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
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


class Resizing(NamedTuple):
    """What the resize policy "fast" does to the answers."""

    agreement: float
    """Part of the images with the same answer."""
    exact_accuracy: float
    """Top-1, or the mAP of a multi-label network."""
    fast_accuracy: float

    def is_harmless(self, max_drop: float) -> bool:
        """Whether it may be switched on."""
        drop = self.exact_accuracy - self.fast_accuracy
        return self.agreement >= MIN_AGREEMENT and drop <= max_drop


class Tuning(NamedTuple):
    """The result of `tune`."""

    bundle: Bundle
    rows: list[Row]
    """The best first; those that may not be used at the end."""
    resizing: Resizing
    is_fast_resize: bool
    """Whether the bundle now resizes by the policy "fast" on this processor."""


def tune(
    bundle: str | PathLike[str] | Bundle,
    validation: Dataset,
    *,
    max_drop: float = 0.005,
    fast_resize: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Tuning:
    """Measure engine x precision x threads on this machine and write the table into the bundle.

    `Classifier` takes the best from then on, on this kind of processor.

    Args:
        bundle: an exported bundle folder; replaced as a whole at the end.
        validation: labelled photos, of which at most 2000, evenly chosen, are used.
        max_drop: how far top-1 may fall below float32's; for multi-label data their mAP, and
            the part of them that is right at the thresholds.
        fast_resize: switch the resize policy "fast" on, on this processor, if its answers agree
            (0.995 or more, and no more than `max_drop` lost), off if not.
        report: called with a line for each thing worth saying.

    Raises:
        InputError: a `max_drop` outside 0 to 1, a network that takes several images at once, or
            validation photos of other classes.
        BundleError: no exported network.
    """
    check_max_drop(max_drop)
    with Bundle.open_to_change(bundle) as opened:
        return _tuned(opened, validation, max_drop, fast_resize, report)


def _tuned(
    bundle: Bundle,
    validation: Dataset,
    max_drop: float,
    fast_resize: bool,
    report: Callable[[str], None],
) -> Tuning:
    _check_batch(bundle)
    chosen = evenly_chosen(match_validation(bundle, validation).images, VALIDATION_LIMIT)
    task = find(bundle.manifest.task)
    judge, measure = task.judge(bundle.manifest, chosen), task.measure
    paths = [image.path for image in chosen]
    exact = replace(bundle.manifest.preprocessing, policy="exact")
    images = prepare(exact, paths)
    contents = {
        name: bundle.read(str(variant["file"]))
        for name, variant in bundle.manifest.variants.items()
        if str(variant["file"]).endswith(tuple(kind.ending for kind in ENGINES.values()))
    }
    default = _open(DEFAULT, contents, Sizes.of(bundle.manifest), threads=1)
    reference = run_all(default, images)

    resizing = _compare_resizing(bundle, default, paths, judge, reference)
    report(
        f"fast resize: same answer on {resizing.agreement:.4f} of {counted(len(paths), 'photo')}, "
        f"{measure.title} {resizing.fast_accuracy:.4f} (exact {resizing.exact_accuracy:.4f})"
    )
    is_fast = fast_resize and resizing.is_harmless(max_drop)
    rows = _measure(bundle, contents, images, judge, measure, reference, max_drop, report)
    facts = {
        "tuned": today(),
        "validation_images": len(paths),
        "max_drop": max_drop,
        "versions": _versions(),
        "fast_resize": resizing._asdict(),
        "policy": "fast" if is_fast else "exact",
        "ranking": [
            {**row.choice._asdict(), "threads": row.threads} for row in rows if not row.verdict
        ],
        "rows": [row.to_dict() for row in rows],
    }
    written = update_bundle(
        bundle,
        tuning={**bundle.manifest.tuning, processor_name(): facts},
        preprocessing=exact,  # of every processor; earlier bundles had this one's policy here
    )
    return Tuning(written, rows, resizing, is_fast)


def _check_batch(bundle: Bundle) -> None:
    batch = bundle.variant(DEFAULT.variant).get("batch")  # or a message that says how to get it
    if batch not in (1, None):
        raise InputError(
            f"{bundle.path}: its network takes {counted(batch, 'image')} at once; 'pplcnet export "
            f"{bundle.path}' makes one for single images, which can be tuned."
        )


def _open(
    choice: Choice,
    contents: Mapping[str, bytes],
    sizes: Sizes,
    *,
    threads: int,
    streams: int = 1,
) -> Engine:
    return open_engine(
        choice.engine,
        contents[choice.variant],
        precision=choice.precision,
        threads=threads,
        streams=streams,
        sizes=sizes,
    )


def _compare_resizing(
    bundle: Bundle,
    engine: Engine,
    paths: list[Any],
    judge: Judge,
    exact: Outputs,
) -> Resizing:
    prepared = prepare(replace(bundle.manifest.preprocessing, policy="fast"), paths)
    fast = run_all(engine, prepared)
    return Resizing(
        agreement=judge.agreement(fast, exact),
        exact_accuracy=judge.value(exact),
        fast_accuracy=judge.value(fast),
    )


def _measure(
    bundle: Bundle,
    contents: Mapping[str, bytes],
    images: NDArray[np.uint8],
    judge: Judge,
    measure: Measure,
    reference: Outputs,
    max_drop: float,
    report: Callable[[str], None],
) -> list[Row]:
    cores, sizes = available_cores(), Sizes.of(bundle.manifest)
    rows: list[Row] = []
    streams: dict[Choice, Engine] = {}
    for choice in choices_of(bundle, installed_engines(), processor_features()):
        try:
            engine = _open(choice, contents, sizes, threads=1, streams=cores)
            outputs = run_all(engine, images, threads=cores)
        except PPLCNetError as error:
            report(f"{choice}: {error}")
            continue
        row = _judged(choice, outputs, judge, measure, reference, max_drop)
        rows.append(row)
        if not row.verdict:
            streams[choice] = engine
    image = images[:1]
    counts = sorted({cores, *(2**power for power in range(cores.bit_length()))})
    single = {
        (choice, threads): _open(choice, contents, sizes, threads=threads)
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
    return _ranked([_timed(row, latencies, rates) for row in rows])


def _judged(
    choice: Choice,
    outputs: Outputs,
    judge: Judge,
    measure: Measure,
    reference: Outputs,
    max_drop: float,
) -> Row:
    difference = _relative_difference(outputs, reference)
    drop = judge.drop(outputs, reference)
    verdict = ""
    # Written so that a NaN is no good.
    if choice.precision == "float32" and not difference <= MAX_RELATIVE_DIFFERENCE:
        verdict = f"differs by {difference:.1e} of the largest logit"
    elif not drop.amount <= max_drop:
        verdict = f"loses {drop.amount:.4f} of {drop.of}"
    agreement = judge.agreement(outputs, reference)
    return Row(choice, judge.value(outputs), agreement, difference, None, 0, None, verdict, measure)


def _relative_difference(outputs: Outputs, reference: Outputs) -> float:
    """The largest difference of a number, as a share of its output's largest; NaN where one is."""
    differences = [
        np.abs(outputs[name] - expected).max() / np.abs(expected).max()
        for name, expected in reference.items()
    ]
    return float(np.max(differences))


def _timed(
    row: Row, latencies: Mapping[tuple[Choice, int], Latency], rates: Mapping[Choice, float]
) -> Row:
    own = {threads: each for (choice, threads), each in latencies.items() if choice == row.choice}
    if not own:
        return row
    threads = min(own, key=lambda count: own[count].median_ms)
    return row._replace(latency=own[threads], threads=threads, images_per_second=rates[row.choice])


def _cost(row: Row) -> float:
    """Both modes count alike: milliseconds for one image, and for one of many."""
    if row.latency is None or not row.images_per_second:
        return float("inf")
    return row.latency.median_ms / row.images_per_second


def _ranked(rows: list[Row]) -> list[Row]:
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


def _versions() -> dict[str, str]:
    names = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert"}
    return {name: metadata.version(names[name]) for name in installed_engines()} | {
        "pplcnet": metadata.version("pplcnet")
    }
