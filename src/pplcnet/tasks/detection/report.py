"""The report on a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.pages.section import ReportContext, Section, TaskReport, Tile
from pplcnet.system.wording import format_number
from pplcnet.tasks.detection.answers import BoxAnswers
from pplcnet.tasks.detection.cells import chosen_photos, photo_values, region_values
from pplcnet.tasks.detection.evaluation import BoxEvaluation
from pplcnet.tasks.detection.mistakes import BoxMistake
from pplcnet.tasks.detection.plot import precision_recall_chart, size_charts
from pplcnet.tasks.detection.suppression import overlaps

__all__ = ["label_suspects", "report"]

REGIONS = 12
"""The number of photo parts in each section."""
CURVES = 6
"""The number of classes with a curve, those with the most boxes."""
CONFUSED = 30
"""The maximum number of classes in a confusion matrix."""
CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SURE = 0.9
"""At this precision, a box where there is no true one is evidence against the label."""
PLACED_BADLY = 0.3
"""An invention that overlaps a true box by this IoU is only badly placed."""


def report(context: ReportContext) -> TaskReport:
    """The tiles and sections of a detector's report."""
    evaluation: BoxEvaluation = context.evaluation
    answers = BoxAnswers(context.reported, evaluation)
    sections = [
        Section("classes", "Classes", "classes.html", {"rows": evaluation.per_class()}),
        *_charts(evaluation),
        Section("confidence", "Confidence", "confidences.html", _confidences(context, answers)),
        *_confusion(evaluation),
        _photos(context, evaluation),
        *_mistakes(context, evaluation),
    ]
    return TaskReport(context.title("class"), _tiles(evaluation), sections, answers)


def _tiles(evaluation: BoxEvaluation) -> list[Tile]:
    figures = evaluation.figures()
    note = "IoU 0.5 to 0.95"
    if evaluation.interval:
        low, high = map(format_number, evaluation.interval)
        note += f"; 95 % interval {low} to {high} (bootstrap over photos)"
    from_on = f"of boxes with a confidence of {evaluation.confidence:.2f} or more"
    sizes = ", ".join(
        f"{name} {format_number(figures[f'ap_{name}'])}" for name in ("small", "medium", "large")
    )
    wrong = sum(each.kind != "missed" for each in evaluation.mistakes)
    missed = len(evaluation.mistakes) - wrong
    return [
        Tile(format_number(figures["box_map"]), "AP", note),
        Tile(
            format_number(figures["ap50"]),
            "AP50",
            f"AP75 {format_number(figures['ap75'])}; AP by size: {sizes}",
        ),
        Tile(format_number(figures["precision"]), "precision", from_on),
        Tile(format_number(figures["recall"]), "recall", from_on),
        Tile(str(wrong), "wrong boxes", "invented, or of another class"),
        Tile(str(missed), "missed boxes", f"of {figures['boxes']}"),
    ]


def _charts(evaluation: BoxEvaluation) -> list[Section]:
    figures = evaluation.per_class()
    most_first = sorted(range(len(figures)), key=lambda at: -figures[at].boxes)[:CURVES]
    drawn = [precision_recall_chart(evaluation, at) for at in most_first]
    curves = [each for each in drawn if each is not None]
    sizes = size_charts(evaluation)
    if not curves:
        return []
    more = sum(each.boxes > 0 for each in figures) - len(curves)
    return [
        Section("curves", "Curves", "curves.html", {"curves": curves, "more": max(0, more)}),
        Section("sizes", "Sizes", "sizes.html", {"charts": sizes}),
    ]


def _confidences(context: ReportContext, answers: BoxAnswers) -> dict[str, Any]:
    """Precision, recall and F1 at different confidence thresholds."""
    chosen = answers.evaluation.confidence
    rows = []
    for confidence in sorted({*CONFIDENCES, chosen}):
        figures = answers.shown_at(confidence).figures_at_confidence()
        rows.append({"confidence": confidence, "is_chosen": confidence == chosen, **figures})
    return {"rows": rows, "is_fitted": bool(context.bundle.manifest.calibration)}


def _confusion(evaluation: BoxEvaluation) -> list[Section]:
    if len(evaluation.classes) > CONFUSED:
        return []
    table: NDArray[np.intp] = evaluation.confusion
    names = [*evaluation.classes, "nothing"]
    rows = []
    for at, row in enumerate(table.tolist()):
        total = max(1, sum(row))
        cells = [
            {"count": count, "share": count / total, "is_right": at == column}
            for column, count in enumerate(row)
        ]
        rows.append({"name": names[at], "cells": cells})
    return [Section("confusion", "Confusion", "box_confusion.html", {"names": names, "rows": rows})]


def _photos(context: ReportContext, evaluation: BoxEvaluation) -> Section:
    chosen = chosen_photos(evaluation)
    photos = photo_values(context.reported, evaluation, chosen)
    return Section(
        "photos", "Photos", "photos.html", {"photos": photos, "images": evaluation.images}
    )


def _mistakes(context: ReportContext, evaluation: BoxEvaluation) -> list[Section]:
    suspects = label_suspects(evaluation)
    invented = [each for each in evaluation.mistakes if each.kind != "missed"]
    missed = [each for each in evaluation.mistakes if each.kind == "missed"]
    sections = []
    for name, title, mistakes in (
        ("inventions", "Wrong boxes", invented),
        ("misses", "Missed boxes", missed),
        ("suspects-of-labels", "Labels to check", suspects),
    ):
        if mistakes:
            values = {
                "kind": name,
                "total": len(mistakes),
                "regions": region_values(context.reported, evaluation, mistakes[:REGIONS]),
            }
            sections.append(Section(name, title, "regions.html", values))
    return sections


def label_suspects(evaluation: BoxEvaluation) -> list[BoxMistake]:
    """Wrong boxes whose confidence is so high that 9 of 10 boxes with it are right.

    In such cases the label may be wrong: an object that nobody labelled, or one of another class.
    A box that is only badly placed is not among them.
    """
    judged = [
        (float(confidence), bool(is_right))
        for shown, pairing in zip(evaluation.shown, evaluation.pairings, strict=True)
        for confidence, is_right, is_ignored in zip(
            shown.confidence, pairing.is_right, pairing.is_ignored, strict=True
        )
        if not is_ignored
    ]
    judged.sort(reverse=True)
    precision = np.cumsum([is_right for _, is_right in judged]) / np.arange(1, len(judged) + 1)
    sure = np.flatnonzero(precision >= SURE)
    if not len(sure):
        return []
    least = judged[int(sure[-1])][0]
    places = {name: at for at, name in enumerate(evaluation.names)}
    suspects = []
    for each in evaluation.mistakes:
        if each.kind == "missed" or (each.confidence or 0.0) < least:
            continue
        true = evaluation.truth[places[each.name]].xyxy
        shared = overlaps(np.array([each[-4:]], np.float32), true)[0]
        if each.kind == "mistaken" or not (shared >= PLACED_BADLY).any():
            suspects.append(each)
    return suspects
