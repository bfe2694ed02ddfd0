"""Every exported variant of a bundle in every engine that can run it here, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import PPLCNetError
from pplcnet.pages.scored import Score, Scored
from pplcnet.runtime.classifier import Classifier
from pplcnet.runtime.engines.engine import ENGINES, installed_engines
from pplcnet.runtime.selection import Choice, choices_of
from pplcnet.system.processor import processor_features, processor_name

__all__ = ["VariantRow", "compare_variants", "tuned_on"]


class VariantRow(NamedTuple):
    """One variant in one engine; None where something was not measured."""

    choice: Choice
    size: int
    """Of its file, in bytes."""
    is_reported: bool
    """Whether the report's figures come from it."""
    score: Score | None
    """On the reported photos, measured now."""
    agreement: float | None
    """The part of the photos with the same answer as the reported one."""
    median_ms: float | None
    """One image in the network, as tuning or the export measured it."""
    threads: int | None
    images_per_second: float | None
    note: str


def tuned_on(bundle: Bundle) -> str:
    """The processor whose tuning the table shows: this one, else any; "" without tuning."""
    here = processor_name()
    return here if here in bundle.manifest.tuning else next(iter(bundle.manifest.tuning), "")


def compare_variants(
    bundle: Bundle,
    reported: Choice,
    answers: Scored,
    *,
    is_measured: bool = True,
    progress: Callable[[Any, str], Any] = lambda predictions, what: predictions,
) -> list[VariantRow]:
    """Run every variant on the reported photos, and set beside it what the manifest knows.

    Args:
        reported: how `answers` came about.
        is_measured: without it, only the manifest's figures are given.
        progress: wraps the predictions of one way of running.
    """
    rows = {
        (str(row.get("engine")), str(row.get("precision"))): row
        for row in bundle.manifest.tuning.get(tuned_on(bundle), {}).get("rows", ())
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
        found.append(_row(bundle, choice, choice == reported, answers, given, rows, note))
    return sorted(found, key=lambda row: (row.median_ms is None, row.median_ms or 0))


def _run(
    bundle: Bundle, choice: Choice, answers: Scored, progress: Callable[[Any, str], Any]
) -> tuple[Scored | None, str]:
    try:
        classifier = Classifier(bundle.path, engine=choice.engine, precision=choice.precision)
        paths = [image.path for image in answers.dataset.images]
        predictions = progress(classifier.predict_many(paths), str(choice))
        return answers.answered_by(list(predictions)), ""
    except PPLCNetError as error:
        return None, str(error)


def _row(
    bundle: Bundle,
    choice: Choice,
    is_reported: bool,
    answers: Scored,
    given: Scored | None,
    tuned: dict[tuple[str, str], Any],
    note: str,
) -> VariantRow:
    variant = bundle.variant(choice.variant)
    row = tuned.get((choice.engine, choice.precision), {})
    latency = row if row else _latency_of_export(variant, choice)
    return VariantRow(
        choice,
        int(bundle.manifest.files[str(variant["file"])].get("bytes", 0)),
        is_reported,
        None if given is None else given.score(),
        None if given is None else answers.agreement(given),
        latency.get("median_ms"),
        latency.get("threads"),
        row.get("images_per_second"),
        note or str(row.get("verdict") or ""),
    )


def _latency_of_export(variant: dict[str, Any], choice: Choice) -> dict[str, Any]:
    latency = variant.get("latency") or {}
    return latency if latency.get("engine") == choice.engine else {}
