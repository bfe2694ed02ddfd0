"""Figures of several labels a photo: the bootstrap of mAP, what is named, what is unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pplcnet.dataset import MULTI, Dataset, LabelledImage
from pplcnet.multilabel import mean_average_precision
from pplcnet.multilabel_evaluation import MultiLabelEvaluation
from pplcnet.reporting.label_answers import LabelAnswers
from pplcnet.reporting.label_figures import (
    bootstrap_map,
    label_intervals,
    named_above,
    resampled_map,
)


def _drawn(generator: np.random.Generator, count: int, labels: int = 6):
    """Scores and marks of labels of different rarity: some equal, a tenth unknown."""
    marks = (generator.random((count, labels)) < np.linspace(0.05, 0.5, labels)).astype(np.int8)
    scores = np.round(generator.normal(size=marks.shape) + np.linspace(0.5, 2, labels) * marks, 1)
    return scores, np.where(generator.random(marks.shape) < 0.1, -1, marks).astype(np.int8)


@pytest.mark.parametrize("seed", range(5))
def test_a_resample_has_the_map_of_its_photos(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores, marks = _drawn(generator, 25)
    times = generator.multinomial(25, np.full(25, 1 / 25), size=8)
    expected = [
        mean_average_precision(scores[places], marks[places])
        for places in (np.repeat(np.arange(25), each) for each in times)
    ]
    assert resampled_map(scores, marks, times) == pytest.approx(expected)


def test_a_resample_without_any_shown_label_has_none() -> None:
    marks = np.array([[1, -1], [0, 0]], np.int8)
    found = resampled_map(np.zeros((2, 2)), marks, np.array([[0, 2], [2, 0]]))
    assert np.isnan(found[0])
    assert found[1] == 1


def test_the_interval_holds_what_it_promises() -> None:
    generator = np.random.default_rng(5)
    scores, marks = _drawn(generator, 100_000)
    truth = mean_average_precision(scores, marks)
    inside = 0
    for _ in range(60):
        scores, marks = _drawn(generator, 120)
        low, high = bootstrap_map(scores, marks, resamples=200)
        own = mean_average_precision(scores, marks)
        assert 0 <= low <= own <= high <= 1
        assert high - low < 0.4
        inside += low <= truth <= high
    assert inside / 60 > 0.85


def test_the_interval_is_the_same_again_and_none_where_nothing_is_shown() -> None:
    scores, marks = _drawn(np.random.default_rng(0), 40)
    assert bootstrap_map(scores, marks) == bootstrap_map(scores, marks)
    assert bootstrap_map(scores, np.minimum(marks, 0)) is None


def test_label_intervals_hold_their_figures() -> None:
    scores, marks = _drawn(np.random.default_rng(1), 60)
    names = tuple(map(str, range(60)))
    evaluation = MultiLabelEvaluation(tuple("abcdef"), (0.5,) * 6, names, scores, marks)
    for figures, intervals in zip(evaluation.per_label(), label_intervals(evaluation), strict=True):
        for name in ("precision", "recall", "f1"):
            low, high = getattr(intervals, name)
            assert low <= getattr(figures, name) <= high


def test_what_is_named_by_hand() -> None:
    found = named_above(
        np.array([True, True, True, False, False]), np.array([True, True, False, True, False])
    )
    assert (found.named, found.shown) == (3, 3)
    assert found.precision == found.recall == pytest.approx(2 / 3)
    nothing = named_above(np.zeros(2, bool), np.zeros(2, bool))
    assert nothing.precision == nothing.recall == 0


@pytest.fixture
def answers() -> LabelAnswers:
    scores, marks = _drawn(np.random.default_rng(3), 30)
    images = tuple(
        LabelledImage(Path(f"{number}.png"), -1, None, tuple(row.tolist()))
        for number, row in enumerate(marks)
    )
    dataset = Dataset(Path(), tuple("abcdef"), images, task=MULTI)
    thresholds = np.linspace(0.3, 0.7, 6)
    return LabelAnswers(dataset, dataset.classes, scores.astype(np.float32), marks, thresholds, 1.3)


def test_unknown_labels_count_nowhere(answers: LabelAnswers) -> None:
    flipped = np.where(answers.is_known, answers.logits, -answers.logits)
    other = replace(answers, logits=flipped)
    assert (other.is_named != answers.is_named).any()
    assert other.score() == answers.score()
    assert other.photos_right == answers.photos_right
    assert (other.is_wrong == answers.is_wrong).all()
    assert all(
        (one == two).all()
        for one, two in zip(other.points_at(2), answers.points_at(2), strict=True)
    )


def test_a_label_is_named_beyond_its_threshold(answers: LabelAnswers) -> None:
    assert ((answers.distances >= 0) == answers.is_named).all()


def test_photos_of_which_nothing_is_known_are_not_right(answers: LabelAnswers) -> None:
    right, counted = answers.photos_right
    assert counted == 30
    marks = answers.marks.copy()
    marks[~answers.is_wrong.any(axis=1)] = -1
    assert replace(answers, marks=marks).photos_right == (0, 30 - right)
    names = tuple(map(str, range(30)))
    probabilities, thresholds = answers.probabilities, tuple(answers.thresholds)
    for each, expected in ((answers.marks, right / 30), (marks, 0), (np.full_like(marks, -1), 0)):
        evaluation = MultiLabelEvaluation(answers.classes, thresholds, names, probabilities, each)
        assert evaluation.all_right == expected


def test_scores_of_some_photos(answers: LabelAnswers) -> None:
    chosen = np.arange(30) < 10
    score = answers.score(chosen)
    assert score is not None
    assert score.photos == 10
    assert score.value == mean_average_precision(answers.logits[:10], answers.marks[:10])
    assert answers.score(~chosen & chosen) is None
