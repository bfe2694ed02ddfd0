"""profile: where a network's time goes on this processor, against the processor's roofline."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pplcnet.benchmarking.layer_times import LayerTime, time_layers
from pplcnet.benchmarking.layer_work import LayerWork, count_work
from pplcnet.benchmarking.limits import Limits, measure_limits
from pplcnet.benchmarking.subjects import Subject
from pplcnet.errors import InputError
from pplcnet.runtime.engines.engine import installed_engines
from pplcnet.system.files import write_text
from pplcnet.system.processor import (
    available_cores,
    has_bfloat16,
    processor_features,
    processor_name,
)

__all__ = ["Layer", "Profile", "describe_profile", "profile", "write_profile"]

# By the suffix of the primitive's name. 8-bit computation is at least as fast as bfloat16, the
# highest rate that is measured.
BYTES = {"f32": 4, "bf16": 2, "f16": 2, "i8": 1, "u8": 1}


class Layer(NamedTuple):
    """One operator as the engine runs it."""

    name: str
    kind: str
    primitive: str
    microseconds: float
    share: float
    """Of the time of all operators."""
    macs: int
    kilobytes: float
    """Weights and activations, at the size in which the primitive computes."""
    gflops: float
    roofline_us: float
    """Lower bound in microseconds, from `Limits`; 0 if there is no rate."""


class Profile(NamedTuple):
    """The result of `profile`."""

    subject: str
    way: str
    """Engine and precision."""
    threads: int
    layers: list[Layer]
    limits: Limits

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "processor": processor_name(),
            "network": self.subject,
            "runs_in": self.way,
            "threads": self.threads,
            "limits": self.limits._asdict(),
            "layers": [each._asdict() for each in self.layers],
            "kinds": [each._asdict() for each in by_kind(self.layers)],
        }


def profile(
    subject: Subject,
    *,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Profile:
    """Time every operator of a network, and relate it to the machine's limits.

    Args:
        engine: "openvino" or "onnxruntime"; None for OpenVINO where it is installed.
        precision: None for bfloat16 if both processor and engine compute in it.
        threads: within one run; None for all cores.
        report: called with a line for each step.

    Raises:
        InputError: the subject does not have this precision, or more threads than cores.
    """
    cores = available_cores()
    threads = threads or cores
    if not 1 <= threads <= cores:
        raise InputError(f"{threads} threads; this process may use {cores}.")
    engine = engine or ("openvino" if "openvino" in installed_engines() else "onnxruntime")
    if precision is None:
        is_lower = engine == "openvino" and has_bfloat16(processor_features())
        precision = "bfloat16" if is_lower else "float32"
    content = subject.contents.get("int8" if precision.startswith("int8") else "float32")
    if content is None:
        raise InputError(
            f"{subject.name}: has no {precision} network; 'pplcnet quantize' makes it."
        )
    report(f"measuring the machine's limits on {threads} threads")
    limits = measure_limits(threads)
    report(f"profiling {subject.name} in {engine} {precision}")
    image = np.random.default_rng(0).integers(0, 256, (1, *subject.image_size, 3), np.uint8)
    times = time_layers(engine, content, image, precision=precision, threads=threads)
    layers = relate(times, count_work(content), limits)
    return Profile(subject.name, f"{engine} {precision}", threads, layers, limits)


def relate(times: Sequence[LayerTime], work: dict[str, LayerWork], limits: Limits) -> list[Layer]:
    """Relate each operator's time to its work and its roofline (Williams et al. 2009).

    The lower bound is the larger of two times: arithmetic at the rate of a large matrix product,
    and traffic, with activations at the rate of copying within a core's cache and weights at that
    of copying memory, since the weights of a whole network do not stay in a core's cache.
    """
    total = sum(each.microseconds for each in times) or 1.0
    layers = []
    for each in times:
        own = work.get(each.name.split("/")[0])
        own = own or LayerWork(each.operator, 0, 0, 0)
        ending = each.primitive.rpartition("_")[2].lower()
        size = BYTES.get(ending, 4)
        # Matrix units cannot run a depthwise convolution, which has one channel per filter.
        is_vector = size == 4 or own.kind.startswith("depthwise")
        rate = limits.gflops.get("float32" if is_vector else "bfloat16", limits.gflops["float32"])
        arithmetic = 2 * own.macs / rate / 1e3
        traffic = (
            size * (own.weights / limits.copy_gbytes + own.activations / limits.cache_gbytes) / 1e3
        )
        layers.append(
            Layer(
                name=each.name,
                kind=own.kind,
                primitive=each.primitive,
                microseconds=round(each.microseconds, 1),
                share=round(each.microseconds / total, 4),
                macs=own.macs,
                kilobytes=round(size * (own.weights + own.activations) / 1e3, 1),
                gflops=round(2 * own.macs / max(each.microseconds, 0.5) / 1e3, 1),
                roofline_us=round(max(arithmetic, traffic), 1),
            )
        )
    return layers


def by_kind(layers: Sequence[Layer]) -> list[Layer]:
    """The totals of each kind of operator, most expensive first."""
    kinds: dict[str, list[Layer]] = {}
    for each in layers:
        kinds.setdefault(each.kind, []).append(each)
    sums = []
    for kind, own in kinds.items():
        microseconds = sum(each.microseconds for each in own)
        macs = sum(each.macs for each in own)
        sums.append(
            Layer(
                name=f"{len(own)} operators" if len(own) > 1 else "1 operator",
                kind=kind,
                primitive="",
                microseconds=round(microseconds, 1),
                share=round(sum(each.share for each in own), 4),
                macs=macs,
                kilobytes=round(sum(each.kilobytes for each in own), 1),
                gflops=round(2 * macs / max(microseconds, 0.5) / 1e3, 1),
                roofline_us=round(sum(each.roofline_us for each in own), 1),
            )
        )
    return sorted(sums, key=lambda each: -each.microseconds)


def describe_profile(found: Profile) -> str:
    """Two tables, one line per operator and one per kind, and the machine's limits."""
    header = (
        "operator", "kind", "primitive", "us", "share", "M MACs", "kB", "GFLOP/s", "roofline us",
        "above us",
    )  # fmt: skip
    kinds = by_kind(found.layers)
    rows = [header, *map(_cells, found.layers), ("",) * len(header), *map(_cells, kinds)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    total = sum(each.microseconds for each in found.layers)
    least = sum(min(each.roofline_us, each.microseconds) for each in found.layers)
    rates = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in found.limits.gflops.items())
    return "\n".join(
        [
            *lines,
            f"{found.subject} in {found.way}, {found.threads} threads: {total / 1000:.2f} ms in "
            f"operators, {least / 1000:.2f} ms at the roofline",
            f"{processor_name()}: a matrix product reaches {rates}; copying "
            f"{found.limits.copy_gbytes:.0f} GB/s, within a core's cache "
            f"{found.limits.cache_gbytes:.0f} GB/s",
        ]
    )


def _cells(layer: Layer) -> tuple[str, ...]:
    above = max(0.0, layer.microseconds - layer.roofline_us)
    return (
        layer.name,
        layer.kind,
        layer.primitive,
        f"{layer.microseconds:.0f}",
        f"{layer.share:.1%}",
        f"{layer.macs / 1e6:.2f}",
        f"{layer.kilobytes:.0f}",
        f"{layer.gflops:.0f}",
        f"{layer.roofline_us:.0f}",
        f"{above:.0f}",
    )


def write_profile(found: Profile, folder: Path) -> list[Path]:
    """Write profile.json and profile.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    data, table = folder / "profile.json", folder / "profile.txt"
    write_text(data, json.dumps(found.to_dict(), indent=2) + "\n")
    write_text(table, describe_profile(found) + "\n")
    return [data, table]
