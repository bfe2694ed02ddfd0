"""What the task's report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from pplcnet.data.dataset import Dataset
from pplcnet.pages.section import ReportContext, Score, Section, TaskReport, Tile
from tests.tasks.colour_count.task import CountEvaluation


@dataclass(frozen=True)
class CountAnswers:
    dataset: Dataset
    evaluation: CountEvaluation

    def score(self, chosen: Any = None) -> Score | None:
        values = self.evaluation.closeness[slice(None) if chosen is None else chosen]
        return Score(len(values), float(values.mean()), None) if len(values) else None

    def agreement(self, other: Self) -> float:
        return float(np.mean(np.abs(self.evaluation.found - other.evaluation.found) < 0.1))

    def answered_by(self, predictions: Sequence[Any]) -> Self:
        found = np.array([each.count for each in predictions])
        return replace(self, evaluation=replace(self.evaluation, found=found))


def report(context: ReportContext) -> TaskReport:
    evaluation: CountEvaluation = context.evaluation
    errors = (evaluation.found - evaluation.truth).round(2).tolist()
    return TaskReport(
        context.title("number"),
        [Tile(f"{evaluation.figures()['mean_error']:.2f}", "mean error")],
        [Section("errors", "Errors", "errors.html", {"errors": errors})],
        CountAnswers(context.reported, evaluation),
    )
