"""Every exported variant of a bundle in every engine that can run it here, side by side."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any, NamedTuple

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import PPLCNetError
from pplcnet.pages.section import Score, Scored, Section
from pplcnet.runtime.engines.engine import ENGINES, installed_engines
from pplcnet.runtime.model import load
from pplcnet.runtime.selection import Choice, choices_of
from pplcnet.system.processor import processor_features, processor_name
from pplcnet.system.progress import Watcher
from pplcnet.tasks.task import Measure

__all__ = ["VariantRow", "variants_section"]


class VariantRow(NamedTuple):
    """One variant in one engine; None for what was not measured."""

    choice: Choice
    size: int
    """The size of its file in bytes."""
    is_reported: bool
    """Whether the report's figures come from it."""
    score: Score | None
    """The score on the evaluated images, measured now."""
    agreement: float | None
    """The share of the images that get the same answer as from the reported variant."""
    median_ms: float | None
    """Latency of one image in the network, as measured by tuning or the export."""
    threads: int | None
    images_per_second: float | None
    note: str


def variants_section(
    bundle: Bundle,
    reported: Choice,
    answers: Scored,
    measure: Measure,
    *,
    is_measured: bool,
    watcher: Watcher,
) -> Section:
    """Every variant with its score, latency and agreement.

    Args:
        reported: the variant and engine that `answers` come from.
        is_measured: run every variant on the evaluated images; otherwise, only show the figures in
            the manifest.
    """
    exported = bundle.manifest.variants.get("onnx", {})
    rows = _compare(
        bundle,
        reported,
        answers,
        is_measured=is_measured,
        progress=lambda each, what: watcher.watch(each, len(answers.dataset), what),
    )
    values = {
        "measure": measure,
        "rows": rows,
        "is_measured": is_measured,
        "tuned_on": _tuned_on(bundle),
        "exported_on": (exported.get("latency") or {}).get("processor", ""),
        "parity": _parity(exported.get("parity")),
    }
    return Section("variants", "Variants", "variants.html", values)


def _parity(measured: Any) -> dict[str, Any] | None:
    """The export's measurements for the template; None if they lack the share of equal answers.

    An early version 0.1 did not measure the output's largest value, which is then NaN.
    """
    if not isinstance(measured, dict) or not {"images", "outputs", "agreement"} <= {*measured}:
        return None
    outputs = [
        (name, each["largest_difference"], None if isnan(each["largest"]) else each["largest"])
        for name, each in measured["outputs"].items()
    ]
    return {**measured, "outputs": outputs}


def _tuned_on(bundle: Bundle) -> str:
    """The processor whose tuning the table shows: this one, or else any; "" without tuning."""
    here = processor_name()
    return here if here in bundle.manifest.tuning else next(iter(bundle.manifest.tuning), "")


def _compare(
    bundle: Bundle,
    reported: Choice,
    answers: Scored,
    *,
    is_measured: bool,
    progress: Callable[[Any, str], Any],
) -> list[VariantRow]:
    """The variants in every engine, the fastest first."""
    rows = {
        (str(row.get("engine")), str(row.get("precision"))): row
        for row in bundle.manifest.tuning.get(_tuned_on(bundle), {}).get("rows", ())
    }
    everything = choices_of(bundle, list(ENGINES), ("avx512_bf16",))
    able = choices_of(bundle, installed_engines(), processor_features())
    found = []
    for choice in everything:
        given: Scored | None = None
        note = ""
        if choice == reported:
            given = answers
        elif choice not in able:
            note = "not installed here" if choice.engine not in installed_engines() else "not here"
        elif is_measured:
            given, note = _run(bundle, choice, answers, progress)
        row = _row(bundle, choice, rows)
        found.append(
            row._replace(
                is_reported=choice == reported,
                score=None if given is None else given.score(),
                agreement=None if given is None else answers.agreement(given),
                note=note or row.note,
            )
        )
    return sorted(found, key=lambda row: (row.median_ms is None, row.median_ms or 0))


def _run(
    bundle: Bundle, choice: Choice, answers: Scored, progress: Callable[[Any, str], Any]
) -> tuple[Scored | None, str]:
    try:
        model = load(bundle.path, engine=choice.engine, precision=choice.precision)
        paths = [image.path for image in answers.dataset.images]
        predictions = progress(model.predict_many(paths), str(choice))
        return answers.answered_by(list(predictions)), ""
    except PPLCNetError as error:
        return None, str(error)


def _row(bundle: Bundle, choice: Choice, tuned: dict[tuple[str, str], Any]) -> VariantRow:
    """What the manifest has on a variant in an engine.

    Args:
        tuned: the rows of a tuning, by engine and precision.
    """
    variant = bundle.variant(choice.variant)
    row = tuned.get((choice.engine, choice.precision), {})
    latency = row if row else _latency_of_export(variant, choice)
    return VariantRow(
        choice,
        int(bundle.manifest.files[str(variant["file"])].get("bytes", 0)),
        is_reported=False,
        score=None,
        agreement=None,
        median_ms=latency.get("median_ms"),
        threads=latency.get("threads"),
        images_per_second=row.get("images_per_second"),
        note=str(row.get("verdict") or ""),
    )


def _latency_of_export(variant: dict[str, Any], choice: Choice) -> dict[str, Any]:
    latency = variant.get("latency") or {}
    return latency if latency.get("engine") == choice.engine else {}
