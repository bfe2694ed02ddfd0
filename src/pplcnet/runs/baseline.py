"""How good an answer is that looks at no photo: what a network has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pplcnet.data.layouts.csv_table import PRESENT, UNKNOWN
from pplcnet.tasks.classification.evaluation import Evaluation
from pplcnet.tasks.multilabel.evaluation import MultiLabelEvaluation

__all__ = ["Guess", "best_guess", "gain_over", "guessing_warning", "is_like_guessing"]

# One-sided, 95 %: how many standard deviations an accuracy has to lie above a guess's.
_DEVIATIONS = 1.645
# Of several labels: the part of the way from guessing to perfect that is not chance any more.
_LEAST_GAIN = 0.1


class Guess(NamedTuple):
    """Always the same answer."""

    label: str
    accuracy: float


def best_guess(classes: Sequence[str], counts: Sequence[int]) -> Guess:
    """The most frequent class, always; `counts` are the photos of each class."""
    most = int(np.argmax(counts))
    return Guess(classes[most], counts[most] / max(1, sum(counts)))


def gain_over(guess: Guess, accuracy: float) -> float:
    """The part of the guess's mistakes that are gone: 0 for the guess itself, 1 for perfection."""
    return (accuracy - guess.accuracy) / (1 - guess.accuracy) if guess.accuracy < 1 else 0.0


def guessing_warning(evaluation: Evaluation | MultiLabelEvaluation) -> str:
    """The warning that stands beside figures that guessing would reach, too; else nothing."""
    problem = is_like_guessing(evaluation)
    return f"{problem}: the network has learned little or nothing" if problem else ""


def is_like_guessing(evaluation: Evaluation | MultiLabelEvaluation) -> str:
    """A sentence that says so, where answers are not clearly better than guesses; else nothing.

    With one class per photo, better is what chance gives in less than one case of twenty.
    """
    if isinstance(evaluation, MultiLabelEvaluation):
        found = evaluation.mean_average_precision
        known = evaluation.marks != UNKNOWN
        if found is None or not known.any():
            return ""
        share = float((evaluation.marks[known] == PRESENT).mean())
        if gain_over(Guess("", share), found) > _LEAST_GAIN:
            return ""
        return f"mAP {found:.3f} is about what guessing gets ({share:.3f})"
    guess = best_guess(evaluation.classes, evaluation.confusion.sum(axis=1).tolist())
    if guess.accuracy >= 1:  # photos of one class say nothing about it
        return ""
    spread = (guess.accuracy * (1 - guess.accuracy) / max(1, evaluation.images)) ** 0.5
    if evaluation.top1 > guess.accuracy + _DEVIATIONS * spread:
        return ""
    return (
        f"accuracy {evaluation.top1:.3f} is not clearly above {guess.accuracy:.3f}, which always "
        f"answering {guess.label!r} gets on these {evaluation.images} photos"
    )
