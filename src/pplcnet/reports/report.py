"""Everything about a bundle and how it does on labelled photos, as one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import InputError, require
from pplcnet.metrics.intervals import wilson
from pplcnet.pages.cards import cards, open_gradcam
from pplcnet.pages.page import render
from pplcnet.pages.scored import Answers, EvaluatedPredictions, Scored, evaluate_and_keep
from pplcnet.reports.evaluation_files import warning_of
from pplcnet.reports.leakage import leakage_context
from pplcnet.reports.report_data import Subject
from pplcnet.reports.sections import (
    LABEL_AXES,
    calibration_context,
    class_rows,
    curve_charts,
    data_context,
    facts,
    suspect_rows,
    threshold_context,
)
from pplcnet.reports.variants import compare_variants, tuned_on
from pplcnet.runtime.classifier import Classifier
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted
from pplcnet.tasks.classification.confusion import confusion_context
from pplcnet.tasks.classification.evaluation import ClassEvaluation
from pplcnet.tasks.multilabel.answers import LabelAnswers
from pplcnet.tasks.multilabel.evaluation import LabelEvaluation
from pplcnet.tasks.multilabel.label_counts import cells_context
from pplcnet.tasks.multilabel.sections import label_cards, label_rows, label_threshold_context

__all__ = ["PRECISIONS", "bundle_report", "check_precisions", "require_report"]

PRECISIONS = (0.9, 0.95, 0.99)
"""What thresholds are given for unless others are wanted."""


class _Measure(NamedTuple):
    """Words of the sections that both kinds of page share."""

    name: str
    title: str
    """The name at the beginning of a sentence."""
    is_part: bool
    """Whether it is a part of the photos, to be read in per cent."""
    classes: str
    same: str
    disputed: str
    note: str
    """What to know where it is compared between photos."""
    calibrated: str


ONE_CLASS = _Measure(
    "top-1",
    "Top-1",
    is_part=True,
    classes="class",
    same="same answer",
    disputed="two labels",
    note="",
    calibrated="Of answers with probability 0.8, 80 % should be right: points on the dashed line. "
    "The larger a point, the more photos; its line is the gap.",
)
SEVERAL_LABELS = _Measure(
    "mAP",
    "mAP",
    is_part=False,
    classes="label",
    same="same labels",
    disputed="labels differ",
    note="The mAP of some photos is the mean over the labels that they show.",
    calibrated="Of all labels with probability 0.8, 80 % should be on the photo: points on the "
    "dashed line. Every label that is known of a photo counts; the larger a point, the more of "
    "them; its line is the gap.",
)


def require_report() -> None:
    """MissingDependencyError, before any work, when a report cannot be made here."""
    for library in ("jinja2", "matplotlib"):
        require(library, purpose="writing the report", extra="report")


def check_precisions(precisions: Sequence[float]) -> None:
    """InputError for a precision that is none."""
    for each in precisions:
        if not 0 < each <= 1:
            raise InputError(f"precision is {each}; it must be above 0 and at most 1.")


def bundle_report(
    subject: Subject,
    *,
    evaluated: EvaluatedPredictions | None = None,
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
    chosen_on = []
    if len(subject.validation):
        chosen_on = _evaluated(classifier, subject, "validation", watcher).predictions
    gradcam, gradcam_missing = open_gradcam(bundle, before_keras)
    page = _Page(subject, predictions, chosen_on, precisions, gradcam)
    if isinstance(evaluation, ClassEvaluation):
        answers, own = _of_classes(page, evaluation)
    else:
        answers, own = _of_labels(page, cast(LabelEvaluation, evaluation))
    return render(
        **own,
        split=subject.split,
        photos=str(subject.reported.root.resolve()),
        evaluation=evaluation,
        choice=str(classifier.choice),
        trained=subject.trained,
        warning=warning_of(evaluation),
        is_of_training=subject.is_of_training,
        notes=subject.notes,
        is_fitted=bool(bundle.manifest.calibration),
        facts=facts(subject),
        data=data_context(subject),
        gradcam_missing=gradcam_missing,
        leakage=leakage_context(answers, subject, fingerprints or {}, watcher),
        variants=_variants(subject, classifier, answers, is_every_variant_measured, watcher),
        suspects=suspect_rows(subject, suspects),
    )


class _Page(NamedTuple):
    """What both kinds of page are made of."""

    subject: Subject
    predictions: list[Any]
    chosen_on: list[Any]
    """For the validation photos; empty where these are not known."""
    precisions: Sequence[float]
    gradcam: Any


def _of_classes(page: _Page, evaluation: ClassEvaluation) -> tuple[Scored, dict[str, Any]]:
    """The answers, and what a page of one class a photo has of its own."""
    subject, bundle = page.subject, page.subject.bundle
    answers = Answers.of(subject.reported, page.predictions)
    choosing = Answers.of(subject.validation, page.chosen_on) if page.chosen_on else None
    mistakes, unsure = cards(answers, bundle, page.gradcam)
    right = int(answers.is_right.sum())
    return answers, {
        "template": "report.html",
        "title": f"{_network(bundle)}: {counted(len(bundle.classes), 'class')}",
        "measure": ONE_CLASS,
        "interval": wilson(right, len(answers.labels)),
        "curves": curve_charts(subject.folder),
        "class_rows": class_rows(evaluation),
        "confusion": confusion_context(evaluation, answers),
        "mistakes": mistakes,
        "mistake_count": len(answers.labels) - right,
        "unsure": unsure,
        "calibration": calibration_context(answers),
        "thresholds": threshold_context(page.precisions, answers, choosing),
    }


def _of_labels(page: _Page, evaluation: LabelEvaluation) -> tuple[Scored, dict[str, Any]]:
    """The answers, and what only a multi-label page has."""
    subject, bundle = page.subject, page.subject.bundle
    answers = LabelAnswers.of(subject.reported, page.predictions)
    choosing = LabelAnswers.of(subject.validation, page.chosen_on) if page.chosen_on else None
    mistakes, unsure = label_cards(answers, bundle, page.gradcam)
    return answers, {
        "template": "label_report.html",
        "title": f"{_network(bundle)}: {counted(len(bundle.classes), 'label')}",
        "measure": SEVERAL_LABELS,
        "whole": answers.score(),
        "all_right": wilson(*answers.photos_right),
        "curves": curve_charts(subject.folder, is_multi=True),
        "label_rows": label_rows(evaluation),
        "cells": cells_context(answers),
        "has_unknown": not answers.is_known.all(),
        "known_count": int(answers.is_known.sum()),
        "mistakes": mistakes,
        "mistake_count": int(answers.is_wrong.sum()),
        "unsure": unsure,
        "calibration": calibration_context(answers, LABEL_AXES),
        "thresholds": label_threshold_context(page.precisions, answers, choosing),
    }


def _network(bundle: Bundle) -> str:
    return str(bundle.manifest.network.get("name", "network"))


def _evaluated(
    classifier: Classifier, subject: Subject, part: str, watcher: Watcher
) -> EvaluatedPredictions:
    dataset = getattr(subject, part)
    return evaluate_and_keep(
        classifier,
        dataset,
        progress=lambda each: watcher.watch(each, len(dataset), f"answer {part} photos"),
    )


def _variants(
    subject: Subject, classifier: Classifier, answers: Scored, is_measured: bool, watcher: Watcher
) -> dict[str, Any]:
    manifest = subject.bundle.manifest
    return {
        "rows": compare_variants(
            subject.bundle,
            classifier.choice,
            answers,
            is_measured=is_measured,
            progress=lambda each, what: watcher.watch(each, len(answers.dataset), what),
        ),
        "is_measured": is_measured,
        "tuned_on": tuned_on(subject.bundle),
        "exported_on": (manifest.variants.get("onnx", {}).get("latency") or {}).get(
            "processor", ""
        ),
        "parity": manifest.variants.get("onnx", {}).get("parity"),
    }
