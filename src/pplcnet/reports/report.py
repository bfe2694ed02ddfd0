"""The report on a bundle and its performance on labelled photos, as one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.audit import Audit
from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import Splits
from pplcnet.errors import InputError, PPLCNetError, require
from pplcnet.pages.cards import open_gradcam
from pplcnet.pages.page import render
from pplcnet.pages.section import ReportContext, Tile
from pplcnet.reports.evaluation_files import warning_of
from pplcnet.reports.leakage import copies_section
from pplcnet.reports.others import check_others, compare_with_others
from pplcnet.reports.report_data import Subject
from pplcnet.reports.sections import made_section, suspects_sections, training_sections
from pplcnet.reports.variants import variants_section
from pplcnet.runtime.model import Model, load
from pplcnet.system.files import write_text
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted
from pplcnet.tasks import TASKS, report_of, task_of
from pplcnet.tasks.evaluate import EvaluatedPredictions, evaluate_and_keep

__all__ = ["PRECISIONS", "bundle_report", "check_precisions", "require_report", "write_run_report"]

PRECISIONS = (0.9, 0.95, 0.99)
"""The default precisions to give thresholds for."""
REPORT = "report.html"


def require_report() -> None:
    """Raise MissingDependencyError, before any work, if no report can be made here."""
    for library in ("jinja2", "matplotlib"):
        require(library, purpose="writing the report", extra="report")


def check_precisions(precisions: Sequence[float]) -> None:
    """Raise InputError for a number that cannot be a precision."""
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
    others: Path | None = None,
    watcher: Watcher | None = None,
    before_keras: Callable[[], object] = lambda: None,
) -> str:
    """The page, as HTML text.

    Args:
        subject: the bundle and its images.
        evaluated: the bundle's answers to the evaluated images, if they are known already.
        precisions: those wanted for the answers above a threshold, 0 to 1.
        fingerprints: fingerprints of images by path, if they are known already.
        is_every_variant_measured: also run the other variants on the evaluated images.
        suspects: a list of images whose label may be wrong, as written by `pplcnet suspects`; None
            takes suspects.csv beside the bundle, if it exists.
        others: a folder of photos of other things, to measure how well these are separated.
        watcher: receives progress.
        before_keras: called before Keras is imported, for Grad-CAM.

    Raises:
        MissingDependencyError: Jinja2 or Matplotlib is not installed.
        InputError, DatasetError: as `pplcnet.evaluate`.
    """
    require_report()
    check_precisions(precisions)
    watcher = watcher or Watcher()
    bundle = subject.bundle
    task = task_of(bundle.manifest, bundle.path)
    model = load(bundle.path)
    if others is not None:
        check_others(model, others)
    evaluated = evaluated or _evaluate(model, subject.reported, "reported", watcher)
    on_validation: list[Any] = []
    if len(subject.validation):
        on_validation = _evaluate(model, subject.validation, "validation", watcher).predictions
    gradcam, gradcam_missing = open_gradcam(bundle, before_keras)
    own = report_of(task)(
        ReportContext(
            bundle=bundle,
            evaluation=evaluated.evaluation,
            reported=subject.reported,
            predictions=evaluated.predictions,
            validation=subject.validation,
            validation_predictions=on_validation,
            precisions=precisions,
            gradcam=gradcam,
            gradcam_missing=gradcam_missing,
        )
    )
    return render(
        "page.html",
        package=TASKS[task.name],
        sections=[
            made_section(subject, task.noun),
            *training_sections(subject.folder, task.measure),
            *own.sections,
            copies_section(own.scored, subject, task.measure, fingerprints or {}, watcher),
            variants_section(
                bundle,
                model.choice,
                own.scored,
                task.measure,
                is_measured=is_every_variant_measured,
                watcher=watcher,
            ),
            *suspects_sections(subject, suspects),
        ],
        title=own.title,
        tiles=[*own.tiles, *_on_others(model, evaluated, others, watcher)],
        split=subject.split,
        images=len(subject.reported),
        photos=str(subject.reported.root.resolve()),
        choice=str(model.choice),
        trained=subject.trained,
        warning=warning_of(evaluated.evaluation),
        is_of_training=subject.is_of_training,
        notes=subject.notes,
    )


def _on_others(
    model: Model[Any], evaluated: EvaluatedPredictions, others: Path | None, watcher: Watcher
) -> list[Tile]:
    """The figure on other photos, if some are given."""
    if others is None:
        return []
    found = compare_with_others(
        model,
        evaluated.predictions,
        others,
        progress=lambda each, total: watcher.watch(each, total, "predict other photos"),
    )
    note = (
        f"{counted(found.photos, 'other photo')}; FPR at 95 % TPR {found.fpr_at_95_tpr:.3f}; "
        f"{found.strange} called unlike anything trained on"
    )
    return [Tile(f"{found.auroc:.3f}", "AUROC against other photos", note)]


def _evaluate(
    model: Model[Any], dataset: Dataset, part: str, watcher: Watcher
) -> EvaluatedPredictions:
    return evaluate_and_keep(
        model,
        dataset,
        progress=lambda each: watcher.watch(each, len(dataset), f"predict {part} photos"),
    )


def write_run_report(
    bundle: Bundle,
    splits: Splits,
    split: str,
    evaluated: EvaluatedPredictions,
    checked: Audit,
    watcher: Watcher,
) -> Path | None:
    """Write `report.html` beside the bundle, at the end of a training run.

    A run is complete without a report: if a library is missing, the watcher is told and None is
    returned.

    Args:
        split: the evaluated split, "test" or "validation".
        evaluated: the bundle's answers to its images.
        checked: the audit of the run's images, whose fingerprints find near-duplicates.
    """
    held_out = splits.validation
    subject = Subject(
        bundle,
        split,
        reported=splits.test if split == "test" else held_out,
        train=splits.train,
        validation=held_out if split == "test" else held_out.keep(()),
        source="split.csv",
    )
    fingerprints = {
        path: facts.fingerprint
        for path, facts in checked.facts.items()
        if facts.fingerprint is not None
    }
    try:
        page = bundle_report(
            subject,
            evaluated=evaluated,
            fingerprints=fingerprints,
            is_every_variant_measured=False,
            watcher=watcher,
        )
        return write_text(subject.folder / REPORT, page)
    except (PPLCNetError, OSError) as error:
        watcher.say(f"no {REPORT}: {error}")
        return None
