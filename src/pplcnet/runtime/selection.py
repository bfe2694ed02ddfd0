"""Chooses how to run a bundle: as tuning found best on this processor, or a safe default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import InputError
from pplcnet.runtime.engines.engine import ENGINES, installed_engines
from pplcnet.system.processor import has_bfloat16, processor_features, processor_name

__all__ = ["DEFAULT", "Choice", "Selection", "choices_of", "choose"]


class Choice(NamedTuple):
    """One way of running a bundle."""

    variant: str
    """Name in the manifest: "onnx", "int8", "litert"."""
    engine: str
    precision: str
    """Computing precision: "float32", "bfloat16", "int8" or "int8-bfloat16"."""

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


DEFAULT = Choice("onnx", "onnxruntime", "float32")
"""Runs on every installation; its figures are those of the export."""


INT8_ENGINE = "openvino"
"""The engine in which quantising measures INT8. ONNX Runtime runs it too, more slowly, and with an
accuracy that is not measured."""


class Selection(NamedTuple):
    """The result of `choose`."""

    choice: Choice
    threads: int | None
    """For one image at a time, as tuning found best; None for one per core."""
    advice: str
    """What would make it faster; "" if nothing is known."""


def choices_of(bundle: Bundle, engines: Collection[str], features: Collection[str]) -> list[Choice]:
    """All ways to run the bundle's variants on a processor with these instruction sets."""
    found = []
    for engine in engines:
        kind = ENGINES[engine]
        for name, variant in bundle.manifest.variants.items():
            if not str(variant["file"]).endswith(kind.ending):
                continue
            precisions = kind.precisions
            if variant.get("precision") == "int8":
                precisions = tuple(
                    {"float32": "int8", "bfloat16": "int8-bfloat16"}[each] for each in precisions
                )
            found += [
                Choice(name, engine, precision)
                for precision in precisions
                if has_bfloat16(features) or not precision.endswith("bfloat16")
            ]
    return found


def choose(bundle: Bundle, *, engine: str | None = None, precision: str | None = None) -> Selection:
    """Choose how to run a bundle here.

    Args:
        engine: use this one, in the precision that tuning ranked first for it here.
        precision: use this one, in the engine that tuning ranked first for it here; untuned INT8
            runs in OpenVINO, where its accuracy was measured.

    Raises:
        BundleError: no installed engine can run it.
        InputError: the bundle has no such engine and precision.
    """
    tuned = bundle.manifest.tuning.get(processor_name())
    possible = choices_of(bundle, installed_engines(), processor_features())
    for choice, threads in _ranked(tuned or {"ranking": []}):
        if choice in possible and _fits(choice, engine, precision):
            return Selection(choice, threads, "")
    if engine is not None or precision is not None:
        return Selection(_asked_for(bundle, engine, precision), None, "")
    advice = ""
    if bundle.manifest.tuning and tuned is None:
        advice = (
            f"{bundle.path}: tuned on another processor, not this one ({processor_name()}); "
            f"float32 in ONNX Runtime is used; 'pplcnet tune {bundle.path}' finds the fastest way."
        )
    bundle.variant(DEFAULT.variant)  # or a message on how to get it
    return Selection(DEFAULT, None, advice)


def _fits(choice: Choice, engine: str | None, precision: str | None) -> bool:
    return engine in (None, choice.engine) and precision in (None, choice.precision)


def _ranked(tuned: Mapping[str, Any]) -> list[tuple[Choice, int]]:
    """The ways that tuning accepted with their threads, best first."""
    return [
        (Choice(row["variant"], row["engine"], row["precision"]), max(1, row["threads"]))
        for row in tuned["ranking"]
    ]


def _asked_for(bundle: Bundle, engine: str | None, precision: str | None) -> Choice:
    everything = choices_of(bundle, list(ENGINES), ("avx512_bf16",))
    here = installed_engines()

    def order(choice: Choice) -> tuple[bool, bool]:
        is_int8 = choice.precision.startswith("int8")
        return choice.engine not in here, is_int8 and choice.engine != INT8_ENGINE

    for choice in sorted(everything, key=order):
        if _fits(choice, engine, precision):
            return choice
    wanted = " ".join(each for each in (engine, precision) if each)
    held = ", ".join(str(each) for each in everything) or "no exported network"
    raise InputError(f"{bundle.path}: cannot run as {wanted}; it has {held}.")
