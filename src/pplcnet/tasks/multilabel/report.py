"""The report on a multi-label network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.metrics.intervals import wilson
from pplcnet.metrics.thresholds import kept_precision, threshold_for
from pplcnet.pages import charts
from pplcnet.pages.calibration import calibration_section
from pplcnet.pages.cards import SHOWN, Card, card_sections, make_cards
from pplcnet.pages.page import percent
from pplcnet.pages.section import ReportContext, Section, TaskReport, Tile, mean_over
from pplcnet.system.wording import format_number
from pplcnet.tasks.multilabel.answers import LabelAnswers
from pplcnet.tasks.multilabel.cells import answers_values
from pplcnet.tasks.multilabel.evaluation import LabelEvaluation
from pplcnet.tasks.multilabel.figures import label_intervals, measured_above

__all__ = ["report"]

OTHERS = 3
"""The number of other wrong labels that a card names."""
CALIBRATION = (
    "Of all labels with probability 0.8, 80 % should be on the photo; points should be on the "
    "dashed line. Every label counts for the photos for which it is known; the larger a point, the "
    "more of them; the line from it shows the gap."
)


def report(context: ReportContext) -> TaskReport:
    """The tiles and sections of a multi-label network; without known labels, fewer of them."""
    evaluation: LabelEvaluation = context.evaluation
    answers = LabelAnswers.of(context.reported, context.predictions)
    rows = [
        {"figures": figures, "intervals": intervals}
        for figures, intervals in zip(
            evaluation.per_label(), label_intervals(evaluation), strict=True
        )
    ]
    sections = [Section("labels", "Labels", "labels.html", {"rows": rows})]
    if answers.is_known.any():
        sections += _sections_of_known(context, answers)
    return TaskReport(context.title("label"), _tiles(evaluation, answers), sections, answers)


def _sections_of_known(context: ReportContext, answers: LabelAnswers) -> list[Section]:
    choosing = None
    if context.validation_predictions:
        choosing = LabelAnswers.of(context.validation, context.validation_predictions)
    return [
        Section("answers", "Right and wrong", "answers.html", answers_values(answers)),
        *_card_sections(context, answers),
        calibration_section(
            answers.points_at,
            answers.temperature,
            is_fitted=bool(context.bundle.manifest.calibration),
            axes=("probability of the label", "fraction shown"),
            explanation=CALIBRATION,
        ),
        _thresholds(context.precisions, answers, choosing),
    ]


def _tiles(evaluation: LabelEvaluation, answers: LabelAnswers) -> list[Tile]:
    score, known = answers.score(), int(answers.is_known.sum())
    mistakes = int(answers.is_wrong.sum())
    all_right = wilson(*answers.images_right)
    between = f"95 % interval {percent(all_right.low)} to {percent(all_right.high)}"
    least = format_number(evaluation.least_calibration_error)
    images = [each.images for each in evaluation.per_label()]
    whole = Tile("–", "mAP", "no photo shows a label")
    if score:
        note = "too few photos for an interval"
        if score.interval:
            low, high = map(format_number, score.interval)
            note = f"95 % interval {low} to {high} (bootstrap over photos)"
        whole = Tile(format_number(score.value), "mAP", note)
    return [
        whole,
        Tile(
            format_number(evaluation.macro_f1),
            "macro F1",
            mean_over(images, "label") if score else "",
        ),
        Tile(format_number(evaluation.micro_f1), "micro F1", "all labels together"),
        Tile(
            percent(evaluation.all_right),
            "every known label right",
            f"of the photos; {between}" if known else "no label is known",
        ),
        Tile(
            format_number(evaluation.calibration_error),
            "calibration error",
            f"perfectly calibrated: {least}" if known else "",
        ),
        Tile(
            str(mistakes),
            "mistake" if mistakes == 1 else "mistakes",
            f"of {known} known labels",
        ),
    ]


def _card_sections(context: ReportContext, answers: LabelAnswers) -> list[Section]:
    """The most confident mistakes, and the images nearest to a threshold.

    An image appears at most once in each: with the label whose logit is farthest on the wrong side
    of its threshold, or nearest to it.
    """
    distances = np.abs(answers.distances)
    worth = {
        "mistakes": np.where(answers.is_wrong, distances, -np.inf),
        "unsure": np.where(answers.is_known, -distances, -np.inf),
    }
    chosen = {name: _best(each) for name, each in worth.items()}
    cards = [card for each in chosen.values() for card in each]
    made = [
        {**seen, **_card_text(answers, card.at, card.classes[0])}
        for card, seen in zip(cards, make_cards(context, answers.probabilities, cards), strict=True)
    ]
    return card_sections(
        made[: len(chosen["mistakes"])],
        made[len(chosen["mistakes"]) :],
        explanations=(
            "Each photo with the label whose logit is furthest on the wrong side of its threshold. "
            "The coloured areas are the evidence for that label (Grad-CAM).",
            "Each photo with the label whose logit is nearest to its threshold, and the evidence "
            "for it.",
        ),
        gradcam_missing=context.gradcam_missing,
    )


def _best(worth: NDArray[np.float64]) -> list[Card]:
    """The images with the largest finite values of `worth` (N, labels), each with that label."""
    label, most = worth.argmax(axis=1), worth.max(axis=1)
    order = np.argsort(-most, kind="stable")[:SHOWN]
    return [Card(int(at), (int(label[at]),)) for at in order if np.isfinite(most[at])]


def _card_text(answers: LabelAnswers, at: int, label: int) -> dict[str, Any]:
    """The answer on one label of an image, and the image's other wrong labels."""
    is_predicted, is_shown = answers.is_predicted[at, label], answers.is_shown[at, label]
    texts = (
        ("correctly not predicted", "missed"),
        ("wrongly predicted", "correctly predicted"),
    )
    wrong = [answers.classes[other] for other in np.flatnonzero(answers.is_wrong[at])]
    others = [each for each in wrong if each != answers.classes[label]]
    return {
        "label": answers.classes[label],
        "answer": texts[int(is_predicted)][int(is_shown)],
        "probability": float(answers.probabilities[at, label]),
        "threshold": float(answers.thresholds[label]),
        "others": others[:OTHERS],
        "more": max(0, len(others) - OTHERS),
    }


def _thresholds(
    precisions: Sequence[float], answers: LabelAnswers, choosing: LabelAnswers | None
) -> Section:
    """One threshold for all labels for each wanted precision, and the recall that remains.

    Args:
        choosing: answers to the images that thresholds are chosen on; None chooses on the evaluated
            images, which is optimistic.
    """
    chosen_on = answers if choosing is None else choosing
    probabilities, is_shown = answers.points_at(answers.temperature)
    points = chosen_on.points_at(chosen_on.temperature)
    rows: list[dict[str, Any]] = []
    for wanted in precisions:
        threshold = threshold_for(wanted, *points)
        there = here = None
        if threshold is not None:
            there = measured_above(points[0] >= threshold, points[1], threshold)
            here = measured_above(probabilities >= threshold, is_shown, threshold)
        rows.append({"wanted": wanted, "chosen": there, "here": here})
    values = {
        "rows": rows,
        "own": measured_above(answers.is_predicted[answers.is_known], is_shown),
        "is_independent": choosing is not None,
        "choosing_images": len(chosen_on.marks),
        "images": len(answers.marks),
        "chart": _precision_chart(probabilities, is_shown) if is_shown.any() else "",
    }
    return Section("thresholds", "Thresholds", "thresholds.html", values)


def _precision_chart(probabilities: NDArray[np.float64], is_shown: NDArray[np.bool_]) -> Any:
    """The precision-recall curve of all labels together."""
    _, precision, coverage = kept_precision(probabilities, is_shown)
    return charts.coverage_chart(
        precision * coverage * len(is_shown) / is_shown.sum(),
        precision,
        "Precision-recall curve of all labels together",
        "recall",
        "precision",
    )
