"""What the sections of a multi-label report show, as values for its template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.bundle import Bundle
from pplcnet.metrics.thresholds import kept_precision, threshold_for
from pplcnet.pages import charts
from pplcnet.pages.cards import SHOWN, looked_at
from pplcnet.tasks.multilabel.answers import LabelAnswers
from pplcnet.tasks.multilabel.evaluation import LabelEvaluation
from pplcnet.tasks.multilabel.figures import label_intervals, named_above

__all__ = ["label_cards", "label_rows", "label_threshold_context"]

OTHERS = 3
"""Other wrong labels that a card names."""


def label_rows(evaluation: LabelEvaluation) -> list[dict[str, Any]]:
    """Every label's figures with their intervals."""
    return [
        {"figures": figures, "intervals": intervals}
        for figures, intervals in zip(
            evaluation.per_label(), label_intervals(evaluation), strict=True
        )
    ]


def label_cards(
    answers: LabelAnswers, bundle: Bundle, gradcam: Any, shown: int = SHOWN
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The most confident mistakes, and the photos nearest to a threshold, for the page's cards.

    A photo stands once in each: with the label whose logit is farthest on the wrong side of its
    threshold, or nearest to it.
    """
    distances = np.abs(answers.distances)
    looks = []
    for worth in (
        np.where(answers.is_wrong, distances, -np.inf),
        np.where(answers.is_known, -distances, -np.inf),
    ):
        label, most = worth.argmax(axis=1), worth.max(axis=1)
        order = np.argsort(-most, kind="stable")[:shown]
        looks.append([(int(at), (int(label[at]),)) for at in order if np.isfinite(most[at])])
    cards = looked_at(answers, bundle, gradcam, [*looks[0], *looks[1]])
    made = [
        {**card, **_said(answers, at, label)}
        for card, (at, (label,)) in zip(cards, [*looks[0], *looks[1]], strict=True)
    ]
    return made[: len(looks[0])], made[len(looks[0]) :]


def _said(answers: LabelAnswers, at: int, label: int) -> dict[str, Any]:
    """What was answered to one label of one photo, and which other labels are wrong there."""
    is_named, is_shown = answers.is_named[at, label], answers.is_shown[at, label]
    texts = ("correctly not named", "missed"), ("wrongly named", "correctly named")
    wrong = [answers.classes[other] for other in np.flatnonzero(answers.is_wrong[at])]
    others = [each for each in wrong if each != answers.classes[label]]
    return {
        "label": answers.classes[label],
        "answer": texts[int(is_named)][int(is_shown)],
        "probability": float(answers.probabilities[at, label]),
        "threshold": float(answers.thresholds[label]),
        "others": others[:OTHERS],
        "more": max(0, len(others) - OTHERS),
    }


def label_threshold_context(
    precisions: Sequence[float], answers: LabelAnswers, choosing: LabelAnswers | None
) -> dict[str, Any]:
    """One threshold of all labels for each wanted precision, and what is still named above it.

    Args:
        choosing: answers to the photos that the thresholds are chosen on; None chooses on the
            reported ones, which flatters.
    """
    chosen_on = answers if choosing is None else choosing
    chances, is_shown = answers.points_at(answers.temperature)
    points = chosen_on.points_at(chosen_on.temperature)
    rows = []
    for wanted in precisions:
        threshold = threshold_for(wanted, *points)
        there = here = None
        if threshold is not None:
            there = named_above(points[0] >= threshold, points[1], threshold)
            here = named_above(chances >= threshold, is_shown, threshold)
        rows.append({"wanted": wanted, "chosen": there, "here": here})
    return {
        "rows": rows,
        "own": named_above(answers.is_named[answers.is_known], is_shown),
        "is_independent": choosing is not None,
        "chosen_on": len(chosen_on.marks),
        "chart": _precision_chart(chances, is_shown) if is_shown.any() else "",
    }


def _precision_chart(chances: NDArray[np.float64], is_shown: NDArray[np.bool_]) -> Any:
    """Precision over recall of all labels together, from the highest probability down."""
    _, precision, coverage = kept_precision(chances, is_shown)
    return charts.coverage_chart(
        precision * coverage * len(is_shown) / is_shown.sum(),
        precision,
        "Precision over the part of the shown labels that is named",
        "part of the shown labels that is named",
        "part of the named that is shown",
    )
