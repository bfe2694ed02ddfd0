"""A network that is no better than guessing is said to be so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import InputError
from pplcnet.runs.baseline import Guess, best_guess, gain_over, is_like_guessing
from pplcnet.runs.suspect_list import SUSPECTS, SuspectList, check_strength
from pplcnet.tasks.classification.evaluation import Evaluation
from pplcnet.tasks.multilabel.evaluation import MultiLabelEvaluation


def _evaluation(confusion: list[list[int]]) -> Evaluation:
    counts = np.asarray(confusion)
    names = tuple(f"class {at}" for at in range(len(counts)))
    return Evaluation(names, counts, float(np.trace(counts) / counts.sum()), 1.0, (), 0.1, 0.1)


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
    assert bool(is_like_guessing(_evaluation(confusion))) == is_said


def test_several_labels_at_random_are_said_to_be_so() -> None:
    generator = np.random.default_rng(0)
    marks = (generator.random((200, 3)) < 0.3).astype(np.int8)
    for probabilities, is_said in (
        (generator.random((200, 3)), True),
        (marks * 0.6 + generator.random((200, 3)) * 0.5, False),
    ):
        found = MultiLabelEvaluation(
            ("a", "b", "c"), (0.5,) * 3, tuple(map(str, range(200))), probabilities, marks
        )
        assert bool(is_like_guessing(found)) == is_said


def test_gain_is_the_part_of_the_guesses_mistakes_that_is_gone() -> None:
    guess = best_guess(["a", "b"], [30, 10])
    assert guess == Guess("a", 0.75)
    assert gain_over(guess, 0.75) == 0
    assert gain_over(guess, 1.0) == 1
    assert gain_over(Guess("a", 1.0), 1.0) == 0


def test_weak_networks_name_no_suspects(tmp_path: Path) -> None:
    (tmp_path / SUSPECTS).write_text("an older list")
    with pytest.raises(InputError, match=r"accuracy 45%.*folds: 50%, 40%.*'a' gets 40%"):
        check_strength(tmp_path, [0.5, 0.4], Guess("a", 0.4))
    assert not (tmp_path / SUSPECTS).exists()
    check_strength(tmp_path, [0.9, 0.8], Guess("a", 0.4))


@pytest.mark.parametrize(("accuracy", "lines"), [(0.95, 1), (0.75, 2)])
def test_the_folds_accuracy_is_shown_with_a_warning_where_it_is_low(
    tmp_path: Path, accuracy: float, lines: int
) -> None:
    found = SuspectList((), 10, tmp_path, (accuracy, accuracy), Guess("a", 0.4))
    said = found.accuracies()
    assert len(said) == lines
    assert f"{accuracy:.0%}" in said[0]
