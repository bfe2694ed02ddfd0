"""Finds the fastest quantisation scheme on this processor, and whether it beats bfloat16."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import ConversionError, InputError, PPLCNetError
from pplcnet.exporting.images import evenly_chosen, match_validation, training_images
from pplcnet.exporting.int8 import quantize_network, require_nncf
from pplcnet.exporting.int8_trial import Trial
from pplcnet.exporting.int8_ways import WAYS, Way
from pplcnet.exporting.quantization import check_batch, quantize
from pplcnet.exporting.timing import measure_latencies, measure_rates, prepare
from pplcnet.exporting.tuning_table import WORTHWHILE
from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.runtime.engines.engine import Engine, open_engine
from pplcnet.runtime.selection import INT8_ENGINE
from pplcnet.system.processor import available_cores, has_bfloat16, processor_features
from pplcnet.system.wording import counted
from pplcnet.tasks import answers_of, find

__all__ = ["Search", "Trial", "quantize_fastest", "time_ways"]

# Photos for rough ranges, which do not affect a network's speed.
ROUGH_IMAGES = 8
ROUNDS = 6


class Search(NamedTuple):
    """The result of `quantize_fastest`."""

    bundle: Bundle
    trials: list[Trial]
    """The fastest first."""
    is_made: bool
    """Whether the bundle now has an INT8 network that this search made."""
    verdict: str
    """One sentence."""


def quantize_fastest(
    bundle: str | PathLike[str] | Bundle,
    validation: Dataset,
    *,
    calibration: Sequence[str | PathLike[str]] | None = None,
    max_drop: float | None = None,
    keep_slower: bool = False,
    minutes: float = 10.0,
    report: Callable[[str], None] = lambda line: None,
) -> Search:
    """Time every quantisation scheme on this processor and add the fastest whose accuracy holds.

    If the network in float32 or bfloat16 is faster than every INT8 network, none is added.

    Args:
        bundle: as for `quantize`, like `validation`, `calibration` and `max_drop`.
        keep_slower: add the fastest accurate INT8 network even then.
        minutes: no further scheme is tried after this time.
        report: called with lines about the progress.

    Raises:
        ConversionError: no fast enough scheme keeps the accuracy; the bundle is unchanged.
        InputError, MissingDependencyError: as `quantize`.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    end = time.monotonic() + 60 * minutes
    check_batch(opened)
    require_nncf()
    matched = match_validation(opened, validation)
    if calibration is None:
        calibration = training_images(opened, [image.path for image in matched.images])
    if not calibration:
        raise InputError(f"{opened.path}: no photos to calibrate with; give some.")
    report(
        f"timing {counted(len(WAYS), 'quantisation scheme')} on this processor, then quantising "
        f"with the fastest; a minute or two, at most about {minutes:g}"
    )
    content = cut_network(
        opened.read(str(opened.variant("onnx")["file"])), answers_of(opened.manifest)
    )
    few = prepare(opened.manifest.preprocessing, evenly_chosen(calibration, ROUGH_IMAGES))
    trials = time_ways(content, few, find(opened.manifest.task).head_inputs, WAYS)
    wanted, verdict = _worth_trying(trials, keep_slower)
    report(verdict)
    exact = next(trial for trial in trials if not trial.way)
    for trial in wanted:
        if time.monotonic() > end:
            raise ConversionError(
                f"{opened.path}: --minutes {minutes:g} ran out before a quantisation scheme kept "
                "the accuracy. The bundle is unchanged; a larger --minutes gives more time."
            )
        is_last = trial is wanted[-1]
        at = trials.index(trial)
        try:
            made = quantize(
                opened,
                validation,
                calibration=calibration,
                max_drop=max_drop,
                way=next(way for way in WAYS if way.name == trial.way),
                precision=trial.precision,
                # Layers are reverted to float only if no scheme is accurate without that.
                with_control=is_last,
                deadline=end,
                accept=partial(_check_speed, content, few[:1], trial, exact, keep_slower),
                report=report,
            )
        except ConversionError as error:
            if is_last:
                raise
            report(f"{trial}: {error}")
            trials[at] = trial._replace(verdict="loses too much accuracy")
            continue
        figures = made.variant("int8")["accuracy"]
        measure = find(made.manifest.task).measure.key
        trials[at] = trial._replace(accuracy=figures[measure], verdict="chosen")
        return Search(made, trials, True, f"{trial} is added to the bundle")
    return Search(opened, trials, False, verdict)


def time_ways(
    content: bytes,
    images: NDArray[np.uint8],
    head_inputs: Sequence[str],
    ways: Sequence[Way] = WAYS,
) -> list[Trial]:
    """Time a network in float32, bfloat16 and every scheme, interleaved; returns fastest first.

    Networks that do not load get a verdict and no times.

    Args:
        content: an ONNX file of batch 1 that the exporter wrote.
        images: some prepared images (N, height, width, 3), for rough ranges.
        head_inputs: as for `quantize_network`.
        ways: the schemes to try.
    """
    lower = has_bfloat16(processor_features())
    contents = {"": content}
    found: list[Trial] = []
    for way in ways:
        try:
            contents[way.name] = quantize_network(content, images, head_inputs, way, True).content
        except ConversionError as error:
            found.append(Trial(way.name, "int8", verdict=str(error)))
    cores = available_cores()
    single: dict[tuple[str, str, int], Callable[[], object]] = {}
    many: dict[tuple[str, str], Callable[[], object]] = {}
    for name, each in contents.items():
        precisions = ["int8", "int8-bfloat16"] if name else ["float32", "bfloat16"]
        for precision in precisions[: 2 if lower else 1]:
            try:
                for threads in sorted({1, cores}):
                    engine = _open(each, precision, threads, 1)
                    single[name, precision, threads] = partial(engine.run, images[:1])
                many[name, precision] = partial(_open(each, precision, 1, cores).run, images[:1])
            except PPLCNetError as error:
                found.append(Trial(name, precision, verdict=str(error)))
                single = {key: run for key, run in single.items() if key[:2] != (name, precision)}
    latencies = measure_latencies(single, rounds=ROUNDS)
    rates = measure_rates(many, threads=cores, rounds=max(1, ROUNDS // 2))
    for (name, precision), rate in rates.items():
        own = [each.median_ms for key, each in latencies.items() if key[:2] == (name, precision)]
        found.append(Trial(name, precision, round(min(own), 4), round(rate, 1)))
    return sorted(found, key=lambda trial: trial.cost)


def _check_speed(
    content: bytes,
    image: NDArray[np.uint8],
    trial: Trial,
    exact: Trial,
    keep_slower: bool,
    quantized: bytes,
) -> None:
    """ConversionError if the network, possibly with layers back in float, is no longer faster."""
    cores = available_cores()
    runs = {
        name: partial(_open(each, precision, cores, 1).run, image)
        for name, each, precision in (
            ("float", content, exact.precision),
            ("int8", quantized, trial.precision),
        )
    }
    times = measure_latencies(runs, rounds=ROUNDS)
    if not keep_slower and times["int8"].median_ms * WORTHWHILE > times["float"].median_ms:
        raise ConversionError(
            "with the layers in float that need it for accuracy, INT8 takes "
            f"{times['int8'].median_ms:.2f} ms, {exact.precision} {times['float'].median_ms:.2f} "
            "ms. The bundle is unchanged; --keep-slower adds INT8 anyway."
        )


def _open(content: bytes, precision: str, threads: int, streams: int) -> Engine:
    return open_engine(INT8_ENGINE, content, precision=precision, threads=threads, streams=streams)


def _worth_trying(trials: Sequence[Trial], keep_slower: bool) -> tuple[list[Trial], str]:
    """The INT8 networks that are faster than float, the fastest first, and a sentence why.

    There is one trial per scheme, in its faster precision.
    """
    exact = min((trial for trial in trials if not trial.way), key=lambda trial: trial.cost)
    by_way: dict[str, Trial] = {}
    for trial in trials:
        if trial.way and trial.cost < math.inf:
            by_way.setdefault(trial.way, trial)
    quantized = list(by_way.values())
    if not quantized:
        return [], f"no INT8 network runs in {INT8_ENGINE} on this processor; none is made"
    # The cost includes both latency and throughput.
    faster = [trial for trial in quantized if trial.cost * WORTHWHILE**2 <= exact.cost]
    if faster:
        return faster, f"fastest here: {faster[0]}; without INT8, {exact}"
    verdict = (
        f"{exact} is the fastest on this processor; the fastest INT8 network is {quantized[0]}"
    )
    if keep_slower:
        return quantized, f"{verdict}; it is made as requested"
    return [], f"{verdict}: no INT8 network is made (--keep-slower makes it)"
