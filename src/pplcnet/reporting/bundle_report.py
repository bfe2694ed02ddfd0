"""Everything about a bundle and how it does on labelled photos, as one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import InputError, require
from pplcnet.evaluation import Evaluation
from pplcnet.progress import Watcher
from pplcnet.reporting.answers import Answers, Recorded, evaluate_recorded
from pplcnet.reporting.confusion import confusion_context
from pplcnet.reporting.figures import wilson
from pplcnet.reporting.leakage import leakage_context
from pplcnet.reporting.looking import cards, open_gradcam
from pplcnet.reporting.page import render
from pplcnet.reporting.sections import (
    calibration_context,
    class_rows,
    curve_charts,
    data_context,
    facts,
    suspect_rows,
    threshold_context,
)
from pplcnet.reporting.subject import Subject
from pplcnet.reporting.variants import compare_variants, tuned_on
from pplcnet.runtime.classifier import Classifier

__all__ = ["PRECISIONS", "bundle_report", "check_precisions", "require_report"]

PRECISIONS = (0.9, 0.95, 0.99)
"""What thresholds are given for unless others are wanted."""


def require_report() -> None:
    """MissingDependencyError, before any work, when a report cannot be made here."""
    for library in ("jinja2", "matplotlib"):
        require(library, purpose="writing the report", extra="report")


def check_precisions(precisions: Sequence[float]) -> None:
    """InputError for a precision that is none."""
    for each in precisions:
        if not 0 < each <= 1:
            raise InputError(f"a wanted precision is {each}; allowed is above 0, up to 1.")


def bundle_report(
    subject: Subject,
    *,
    evaluated: Recorded | None = None,
    precisions: Sequence[float] = PRECISIONS,
    fingerprints: Mapping[Path, NDArray[np.uint64]] | None = None,
    is_every_variant_measured: bool = True,
    suspects: Path | None = None,
    watcher: Watcher | None = None,
    before_keras: Callable[[], object] = lambda: None,
) -> str:
    """The page, HTML text.

    Args:
        subject: the bundle and its photos.
        evaluated: how the bundle does on the reported photos, if that is known.
        precisions: wanted of the answers above a threshold.
        fingerprints: of photos, by path, if they are known.
        is_every_variant_measured: also run the other variants on the reported photos.
        suspects: a list of photos whose label may be wrong, as `pplcnet suspects` writes it; None
            takes suspects.csv beside the bundle, if it is there.
        watcher: told how it goes.
        before_keras: called before Keras is imported, for Grad-CAM.

    Raises:
        MissingDependencyError: Jinja2 or Matplotlib is not installed.
        InputError, DatasetError: as `pplcnet.evaluation.evaluate`.
    """
    require_report()
    check_precisions(precisions)
    watcher = watcher or Watcher()
    bundle = subject.bundle
    classifier = Classifier(bundle.path)
    evaluation, predictions = evaluated or _evaluated(classifier, subject, "reported", watcher)
    if not isinstance(evaluation, Evaluation):
        raise InputError(
            f"{bundle.path}: gives several labels a photo; a report is made of bundles with one "
            "class a photo, 'pplcnet evaluate' of both."
        )
    answers = Answers.of(subject.reported, predictions)
    choosing = None
    if len(subject.validation):
        recorded = _evaluated(classifier, subject, "validation", watcher).predictions
        choosing = Answers.of(subject.validation, recorded)
    gradcam, gradcam_missing = open_gradcam(bundle, before_keras)
    mistakes, unsure = cards(answers, bundle, gradcam)
    right = int(answers.is_right.sum())
    return render(
        "report.html",
        title=f"{bundle.manifest.network.get('name', 'network')}: {len(bundle.classes)} classes",
        split=subject.split,
        photos=str(subject.reported.root),
        evaluation=evaluation,
        interval=wilson(right, len(answers.labels)),
        choice=str(classifier.choice),
        facts=facts(subject),
        data=data_context(subject),
        curves=curve_charts(subject.folder),
        class_rows=class_rows(evaluation),
        confusion=confusion_context(evaluation, answers),
        mistakes=mistakes,
        mistake_count=len(answers.labels) - right,
        unsure=unsure,
        gradcam_missing=gradcam_missing,
        calibration=calibration_context(answers, evaluation),
        thresholds=threshold_context(precisions, answers, choosing),
        leakage=leakage_context(answers, subject.train, fingerprints or {}, watcher),
        variants=_variants(subject, classifier, answers, is_every_variant_measured, watcher),
        suspects=suspect_rows(subject, suspects),
    )


def _evaluated(classifier: Classifier, subject: Subject, part: str, watcher: Watcher) -> Recorded:
    dataset = getattr(subject, part)
    return evaluate_recorded(
        classifier,
        dataset,
        progress=lambda each: watcher.watch(each, len(dataset), f"answer {part} photos"),
    )


def _variants(
    subject: Subject, classifier: Classifier, answers: Answers, is_measured: bool, watcher: Watcher
) -> dict[str, Any]:
    manifest = subject.bundle.manifest
    return {
        "rows": compare_variants(
            subject.bundle,
            classifier.choice,
            answers,
            is_measured=is_measured,
            progress=lambda each, what: watcher.watch(each, len(answers.labels), what),
        ),
        "is_measured": is_measured,
        "tuned_on": tuned_on(subject.bundle),
        "exported_on": (manifest.variants.get("onnx", {}).get("latency") or {}).get(
            "processor", ""
        ),
        "parity": manifest.variants.get("onnx", {}).get("parity"),
    }
