"""Multi-label figures: the bootstrap of mAP, precision and recall, unknown labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pplcnet.data.annotations import Marks
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.metrics.calibration import least_calibration_error
from pplcnet.reports.evaluation_files import Source, write_evaluation
from pplcnet.tasks.multilabel.answers import LabelAnswers
from pplcnet.tasks.multilabel.evaluation import LabelEvaluation
from pplcnet.tasks.multilabel.figures import (
    LEAST_PER_LABEL,
    LEAST_PHOTOS,
    LEAST_POSITIVES,
    effective_positives,
    label_intervals,
    map_interval,
    measured_above,
    resampled_map,
)
from pplcnet.tasks.multilabel.measures import mean_average_precision


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


@pytest.mark.parametrize(
    ("distance", "photos", "widest"),
    [(0.5, 60, 0.3), (3.5, 60, 0.15), (3.5, 150, 0.08), (1.5, 150, 0.2)],
    ids=["hard", "easy", "easy, more photos", "between, more photos"],
)
def test_the_interval_holds_what_it_promises(distance: float, photos: int, widest: float) -> None:
    generator = np.random.default_rng(5)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        marks = (generator.random((count, 5)) < [0.3, 0.2, 0.4, 0.15, 0.1]).astype(np.int8)
        return generator.normal(size=marks.shape) + distance * marks, marks

    truth = mean_average_precision(*drawn(100_000))
    inside, widths = 0, []
    for _ in range(60):
        scores, marks = drawn(photos)
        low, high = map_interval(scores, marks, resamples=150)
        assert 0 <= low <= mean_average_precision(scores, marks) <= high <= 1
        widths.append(high - low)
        inside += low <= truth <= high
    assert inside / 60 > 0.88
    assert np.mean(widths) < widest


def test_the_interval_is_the_same_again_and_none_where_nothing_is_shown() -> None:
    scores, marks = _drawn(np.random.default_rng(0), 150)
    assert map_interval(scores, marks) == map_interval(scores, marks) is not None
    assert map_interval(scores, np.minimum(marks, 0)) is None


@pytest.mark.parametrize(
    ("labels", "each"), [(2, LEAST_POSITIVES // 2), (10, LEAST_PER_LABEL)], ids=["few", "many"]
)
def test_few_photos_or_positives_have_no_interval(labels: int, each: int) -> None:
    marks = np.zeros((200, labels), np.int8)
    marks[:each] = 1
    scores = np.random.default_rng(0).normal(size=marks.shape)
    assert effective_positives(marks) == pytest.approx(labels * each)
    assert map_interval(scores, marks) is not None
    assert map_interval(scores[: LEAST_PHOTOS - 1], marks[: LEAST_PHOTOS - 1]) is None
    marks[0, 0] = -1
    assert map_interval(scores, marks) is None


def test_unknown_and_missing_labels_are_no_effective_positives() -> None:
    # Of 10 and 40 photos: 2 x 2 / (1/10 + 1/40); a label that no photo shows is not in mAP.
    marks = np.zeros((50, 3), np.int8)
    marks[:10, 0] = marks[:40, 1] = 1
    marks[10:20, 0] = -1
    assert effective_positives(marks) == pytest.approx(32)
    assert effective_positives(np.zeros((5, 2), np.int8)) == 0


def test_label_intervals_hold_their_figures() -> None:
    scores, marks = _drawn(np.random.default_rng(1), 60)
    names = tuple(map(str, range(60)))
    evaluation = LabelEvaluation(tuple("abcdef"), (0.5,) * 6, names, scores, marks)
    for figures, intervals in zip(evaluation.per_label(), label_intervals(evaluation), strict=True):
        for name in ("precision", "recall", "f1"):
            low, high = getattr(intervals, name)
            assert low <= getattr(figures, name) <= high


def test_what_nothing_is_known_of_has_no_figures() -> None:
    scores, marks = _drawn(np.random.default_rng(1), 9)
    evaluation = LabelEvaluation(
        tuple("abcdef"), (0.5,) * 6, tuple("photos123"), scores, np.full_like(marks, -1)
    )
    assert evaluation.figures() == {
        "images": 9, "map": None, "macro_f1": None, "micro_f1": None, "all_right": None,
        "calibration_error": None, "least_calibration_error": None,
    }  # fmt: skip
    for each in evaluation.per_label():
        assert each == (each.label, 0, 0, None, 0.5, None, None, None)
    text = evaluation.to_text(5)
    assert "mAP –   macro F1 –   micro F1 –" in text
    assert "no label of any image is known" in text
    assert "0.000" not in text


def test_ratios_of_one_label_without_a_denominator_are_none() -> None:
    # Shown but never answered; answered but never shown.
    marks = np.array([[1, 0], [0, 0]], np.int8)
    scores = np.array([[0.1, 0.9], [0.2, 0.1]])
    evaluation = LabelEvaluation(("a", "b"), (0.5, 0.5), ("1", "2"), scores, marks)
    first, second = evaluation.per_label()
    assert (first.precision, first.recall, first.f1) == (None, 0, 0)
    assert (second.precision, second.recall, second.f1) == (0, None, None)
    assert evaluation.macro_f1 == 0


def test_the_files_say_what_perfect_probabilities_would_show(tmp_path: Path) -> None:
    logits, marks = _drawn(np.random.default_rng(1), 60)
    evaluation = LabelEvaluation(
        tuple("abcdef"), (0.5,) * 6, tuple(map(str, range(60))), 1 / (1 + np.exp(-logits)), marks
    )
    write_evaluation(evaluation, tmp_path, Source("test", "/photos"))
    least = json.loads((tmp_path / "evaluation.json").read_text())["least_calibration_error"]
    known = evaluation.probabilities[marks != -1]
    assert least == least_calibration_error(known) > 0
    assert (
        f"a perfectly calibrated model would show {least:.3f}"
        in (tmp_path / "evaluation.md").read_text()
    )


def test_precision_and_recall_are_those_counted_by_hand() -> None:
    found = measured_above(
        np.array([True, True, True, False, False]), np.array([True, True, False, True, False])
    )
    assert (found.predicted, found.shown) == (3, 3)
    assert found.precision == found.recall == pytest.approx(2 / 3)
    nothing = measured_above(np.zeros(2, bool), np.zeros(2, bool))
    assert nothing.precision == nothing.recall == 0


@pytest.fixture
def answers() -> LabelAnswers:
    scores, marks = _drawn(np.random.default_rng(3), 30)
    images = tuple(
        LabelledImage(Path(f"{number}.png"), Marks(tuple(row.tolist())))
        for number, row in enumerate(marks)
    )
    dataset = Dataset(Path(), tuple("abcdef"), images, task="multilabel")
    thresholds = np.linspace(0.3, 0.7, 6)
    return LabelAnswers(dataset, dataset.classes, scores.astype(np.float32), marks, thresholds, 1.3)


def test_unknown_labels_count_nowhere(answers: LabelAnswers) -> None:
    flipped = np.where(answers.is_known, answers.logits, -answers.logits)
    other = replace(answers, logits=flipped)
    assert (other.is_predicted != answers.is_predicted).any()
    assert other.score() == answers.score()
    assert other.images_right == answers.images_right
    assert (other.is_wrong == answers.is_wrong).all()
    assert all(
        (one == two).all()
        for one, two in zip(other.points_at(2), answers.points_at(2), strict=True)
    )


def test_a_label_is_predicted_beyond_its_threshold(answers: LabelAnswers) -> None:
    assert ((answers.distances >= 0) == answers.is_predicted).all()


def test_photos_of_which_nothing_is_known_are_not_right(answers: LabelAnswers) -> None:
    right, counted = answers.images_right
    assert counted == 30
    marks = answers.marks.copy()
    marks[~answers.is_wrong.any(axis=1)] = -1
    assert replace(answers, marks=marks).images_right == (0, 30 - right)
    names = tuple(map(str, range(30)))
    probabilities, thresholds = answers.probabilities, tuple(answers.thresholds)
    unknown = np.full_like(marks, -1)
    for each, expected in ((answers.marks, right / 30), (marks, 0), (unknown, None)):
        evaluation = LabelEvaluation(answers.classes, thresholds, names, probabilities, each)
        assert evaluation.all_right == expected


def test_scores_of_some_photos(answers: LabelAnswers) -> None:
    chosen = np.arange(30) < 10
    score = answers.score(chosen)
    assert score is not None
    assert score.images == 10
    assert score.value == mean_average_precision(answers.logits[:10], answers.marks[:10])
    assert answers.score(~chosen & chosen) is None
