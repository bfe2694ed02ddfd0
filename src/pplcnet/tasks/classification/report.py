"""The report on a single-label classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pplcnet.metrics.intervals import wilson
from pplcnet.metrics.thresholds import kept_precision, measured, threshold_for
from pplcnet.pages import charts
from pplcnet.pages.calibration import calibration_section
from pplcnet.pages.cards import SHOWN, Card, card_sections, make_cards
from pplcnet.pages.page import percent
from pplcnet.pages.section import ReportContext, Section, TaskReport, Tile, mean_over
from pplcnet.system.wording import format_number
from pplcnet.tasks.classification.answers import ClassAnswers
from pplcnet.tasks.classification.cells import confusion_values
from pplcnet.tasks.classification.evaluation import ClassEvaluation

__all__ = ["report"]

CALIBRATION = (
    "Of the answers with probability 0.8, 80 % should be right; points should be on the dashed "
    "line. The larger a point, the more photos; the line from it shows the gap."
)


def report(context: ReportContext) -> TaskReport:
    """The tiles and sections of a classifier's report."""
    evaluation: ClassEvaluation = context.evaluation
    answers = ClassAnswers.of(context.reported, context.predictions)
    choosing = None
    if context.validation_predictions:
        choosing = ClassAnswers.of(context.validation, context.validation_predictions)
    rows = [
        {"figures": figures, "intervals": intervals}
        for figures, intervals in zip(evaluation.per_class(), evaluation.intervals(), strict=True)
    ]
    return TaskReport(
        context.title("class"),
        _tiles(evaluation),
        [
            Section("classes", "Classes", "classes.html", {"rows": rows}),
            Section(
                "confusion", "Confusion", "confusion.html", confusion_values(evaluation, answers)
            ),
            *_card_sections(context, answers),
            calibration_section(
                answers.points_at,
                answers.temperature,
                is_fitted=bool(context.bundle.manifest.calibration),
                axes=("probability of the answer", "fraction correct"),
                explanation=CALIBRATION,
            ),
            _thresholds(context.precisions, answers, choosing),
        ],
        answers,
    )


def _tiles(evaluation: ClassEvaluation) -> list[Tile]:
    figures = evaluation.per_class()
    mistakes = len(evaluation.mistakes)
    low, high = wilson(evaluation.images - mistakes, evaluation.images)
    least = format_number(evaluation.least_calibration_error)
    # With five classes, top-5 is always 1.
    top5 = [Tile(percent(evaluation.top5), "top-5")] if len(evaluation.classes) > 5 else []
    return [
        Tile(percent(evaluation.top1), "top-1", f"95 % interval {percent(low)} to {percent(high)}"),
        *top5,
        Tile(
            format_number(evaluation.macro_f1),
            "macro F1",
            mean_over([each.images for each in figures], "class"),
        ),
        Tile(
            format_number(evaluation.calibration_error),
            "calibration error",
            f"perfectly calibrated: {least}",
        ),
        Tile(
            str(mistakes),
            "mistake" if mistakes == 1 else "mistakes",
            f"of {evaluation.images} photos",
        ),
    ]


def _card_sections(context: ReportContext, answers: ClassAnswers) -> list[Section]:
    """The most confident mistakes, with the evidence for the answer and for the label; the least
    certain images, with the evidence for their two most probable classes."""
    wrong = np.nonzero(~answers.is_right)[0]
    wrong = wrong[np.argsort(-answers.confidences[wrong], kind="stable")][:SHOWN]
    uncertain = np.argsort(answers.confidences, kind="stable")[:SHOWN]
    seconds = np.argsort(-answers.probabilities[uncertain], axis=1, kind="stable")[:, 1]
    chosen = [
        *((int(at), int(answers.labels[at])) for at in wrong),
        *((int(at), int(second)) for at, second in zip(uncertain, seconds, strict=True)),
    ]
    cards = [Card(at, (int(answers.answers[at]), other)) for at, other in chosen]
    values = [
        {
            "label": answers.classes[answers.labels[card.at]],
            "is_right": bool(answers.is_right[card.at]),
            **each,
        }
        for card, each in zip(cards, make_cards(context, answers.probabilities, cards), strict=True)
    ]
    return card_sections(
        values[: len(wrong)],
        values[len(wrong) :],
        explanations=(
            "The coloured areas are the evidence for a class (Grad-CAM): first for the answer, "
            "then for the label.",
            "The coloured areas are the evidence for the two most probable classes.",
        ),
        gradcam_missing=context.gradcam_missing,
    )


def _thresholds(
    precisions: Sequence[float], answers: ClassAnswers, choosing: ClassAnswers | None
) -> Section:
    """A threshold for each wanted precision, and its effect on the evaluated images.

    Args:
        choosing: answers to the images that thresholds are chosen on; None chooses on the evaluated
            images, which is optimistic.
    """
    chosen_on = answers if choosing is None else choosing
    rows: list[dict[str, Any]] = []
    for wanted in precisions:
        threshold = threshold_for(wanted, chosen_on.confidences, chosen_on.is_right)
        there = here = None
        if threshold is not None:
            there = measured(threshold, chosen_on.confidences, chosen_on.is_right)
            here = measured(threshold, answers.confidences, answers.is_right)
        rows.append({"wanted": wanted, "chosen": there, "here": here})
    _, precision, coverage = kept_precision(answers.confidences, answers.is_right)
    values = {
        "rows": rows,
        "is_independent": choosing is not None,
        "choosing_images": len(chosen_on.labels),
        "images": len(answers.labels),
        "chart": charts.coverage_chart(
            coverage,
            precision,
            f"Precision by coverage: {precision[-1]:.3f} when every photo is answered",
        ),
    }
    return Section("thresholds", "Thresholds", "thresholds.html", values)
