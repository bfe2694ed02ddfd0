"""Average precision, thresholds and temperatures of multi-label predictions."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.metrics.average_precision import average_precision
from pplcnet.metrics.calibration import fit_sigmoid_temperature
from pplcnet.tasks.classification.decoding import ClassPrediction
from pplcnet.tasks.multilabel.decoding import LabelPrediction
from pplcnet.tasks.multilabel.measures import (
    choose_threshold,
    mean_average_precision,
)
from pplcnet.tasks.scores import sigmoid


def test_average_precision_by_hand_and_as_scikit_learn_has_it() -> None:
    scores, shown = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(scores, shown) == pytest.approx((1 + 2 / 3) / 2)
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores = generator.integers(0, 9, 40) / 9  # with equal scores
        shown = generator.random(40) < 0.3
        shown[0] = True
        expected = metrics.average_precision_score(shown, scores)
        assert average_precision(scores, shown) == pytest.approx(expected)


def test_unknown_labels_and_labels_without_photos_do_not_count() -> None:
    marks = np.array([[1, 0, -1], [0, 0, 1], [-1, 0, 0]], np.int8)
    scores = np.array([[0.9, 0.1, 0.99], [0.1, 0.9, 0.9], [1.0, 0.5, 0.1]])
    assert mean_average_precision(scores, marks) == 1.0
    assert mean_average_precision(scores, np.zeros_like(marks)) == 0.0


def test_the_threshold_has_the_best_f1_and_lies_between_photos() -> None:
    probabilities = np.array([0.2, 0.9, 0.4, 0.3])
    assert choose_threshold(probabilities, np.array([False, True, True, False])) == pytest.approx(
        0.35
    )
    assert choose_threshold(probabilities, np.zeros(4, bool)) == 0.5
    assert 0 < choose_threshold(probabilities, np.ones(4, bool)) < 0.2


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_sigmoid_temperature_undoes_what_logits_were_multiplied_by(scale: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, 20_000)
    shown = generator.random(20_000) < sigmoid(logits)
    assert fit_sigmoid_temperature(logits * scale, shown) == pytest.approx(scale, rel=0.07)


def test_a_prediction_answers_the_labels_that_reach_their_threshold() -> None:
    logits = np.array([2.0, -1.0, 0.5], np.float32)
    answer = LabelPrediction("a.png", None, logits, ("a", "b", "c"), thresholds=(0.9, 0.1, 0.5))
    assert [each.label for each in answer.labels] == ["c", "b"]
    assert answer.best.label == "a"
    np.testing.assert_allclose(answer.probabilities, 1 / (1 + np.exp(-logits.astype(float))))
    assert [
        each.label for each in ClassPrediction("a.png", None, logits, ("a", "b", "c")).labels
    ] == ["a"]
