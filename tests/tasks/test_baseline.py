"""A network that is no better than guessing is said to be so."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.tasks.baseline import Guess, best_guess, gain_over
from pplcnet.tasks.classification.evaluation import ClassEvaluation
from pplcnet.tasks.multilabel.evaluation import LabelEvaluation


def _evaluation(confusion: list[list[int]]) -> ClassEvaluation:
    counts = np.asarray(confusion)
    names = tuple(f"class {at}" for at in range(len(counts)))
    return ClassEvaluation(names, counts, float(np.trace(counts) / counts.sum()), 1.0, (), 0.1, 0.1)


@pytest.mark.parametrize(
    ("confusion", "is_said"),
    [
        ([[30, 0], [30, 0]], True),  # always the same answer
        ([[17, 13], [13, 17]], True),  # a coin
        ([[95, 0], [5, 0]], True),  # 95 % right, as is who always says the frequent class
        ([[25, 5], [5, 25]], False),
        ([[9, 0], [0, 0]], False),  # photos of one class say nothing
        ([[94, 1], [0, 5]], False),  # 99 % where always the same gets 95 %
    ],
)
def test_what_is_not_better_than_the_most_frequent_class(confusion, is_said: bool) -> None:
    assert bool(_evaluation(confusion).weakness()) == is_said


def test_several_labels_at_random_are_said_to_be_so() -> None:
    generator = np.random.default_rng(0)
    marks = (generator.random((200, 3)) < 0.3).astype(np.int8)
    for probabilities, is_said in (
        (generator.random((200, 3)), True),
        (marks * 0.6 + generator.random((200, 3)) * 0.5, False),
    ):
        found = LabelEvaluation(
            ("a", "b", "c"), (0.5,) * 3, tuple(map(str, range(200))), probabilities, marks
        )
        assert bool(found.weakness()) == is_said


def test_gain_is_the_part_of_the_guesses_mistakes_that_is_gone() -> None:
    guess = best_guess(["a", "b"], [30, 10])
    assert guess == Guess("a", 0.75)
    assert gain_over(guess, 0.75) == 0
    assert gain_over(guess, 1.0) == 1
    assert gain_over(Guess("a", 1.0), 1.0) == 0
