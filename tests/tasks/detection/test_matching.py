"""Average precision by COCO's rules, thresholds and intervals."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.tasks.detection.matching import match_boxes
from tests.tasks.detection.boxes import found, noisy, true


def test_a_box_that_is_found_exactly_counts_at_every_threshold() -> None:
    matches = match_boxes([true((0, 0, 0, 50, 50))], [found((0, 0.5, 0, 0, 50, 50))], 2)
    assert matches.average_precision() == pytest.approx(1)
    assert matches.average_precision(label=1) is None
    assert matches.average_recall() == 1


def test_a_box_that_is_nearly_found_counts_up_to_its_overlap() -> None:
    # An IoU of 40 / 50 reaches 0.5 to 0.8, seven of the ten thresholds.
    matches = match_boxes([true((0, 0, 0, 50, 50))], [found((0, 0.5, 0, 0, 50, 40.5))], 1)
    assert matches.average_precision() == pytest.approx(0.7)
    assert matches.average_precision(iou=0.5) == pytest.approx(1)
    assert matches.average_precision(iou=0.9) == 0


def test_a_confident_invention_costs_more_than_a_doubtful_one() -> None:
    truth = [true((0, 0, 0, 50, 50))]
    right = (0, 0.5, 0, 0, 50, 50)
    for confidence, expected in ((0.9, 0.5), (0.1, 1.0)):
        answers = [found(right, (0, confidence, 200, 200, 250, 250))]
        assert match_boxes(truth, answers, 1).average_precision() == pytest.approx(expected)


def test_sizes_are_told_apart_by_area() -> None:
    truth = [true((0, 0, 0, 31, 31), (0, 100, 100, 150, 150), (0, 200, 200, 400, 400))]
    matches = match_boxes(truth, [found((0, 0.9, 100, 100, 150, 150))], 1)
    areas = [matches.average_precision(area=area) for area in ("small", "medium", "large")]
    assert areas == [0, pytest.approx(1), 0]


def test_a_crowd_and_what_lies_in_it_count_neither_way() -> None:
    truth = [true((0, 0, 0, 200, 200), (0, 300, 300, 350, 350), crowd=(0,))]
    answers = [
        found((0, 0.9, 10, 10, 40, 40), (0, 0.8, 50, 50, 90, 90), (0, 0.5, 300, 300, 350, 350))
    ]
    matches = match_boxes(truth, answers, 1)
    assert matches.average_precision() == pytest.approx(1)
    assert matches.by_class[0].true.tolist() == [1]


def test_without_boxes_there_is_no_figure() -> None:
    matches = match_boxes([true()], [found((0, 0.9, 0, 0, 9, 9))], 1)
    assert matches.average_precision() is None
    assert matches.average_recall() is None
    assert matches.curve(0) is None
    assert matches.best_threshold() is None
    assert matches.interval is None


def test_nothing_found_is_an_average_precision_of_zero() -> None:
    matches = match_boxes([true((0, 0, 0, 50, 50))], [found()], 1)
    assert matches.average_precision() == 0
    assert matches.resampled(np.ones(1, int)) == 0
    assert matches.best_threshold() is None


def test_images_drawn_once_each_give_the_figure_itself() -> None:
    truth, answers = noisy(40)
    matches = match_boxes(truth, answers, 2)
    assert matches.resampled(np.ones(40, int)) == pytest.approx(matches.average_precision())


def test_an_image_drawn_twice_is_as_one_that_is_there_twice() -> None:
    truth, answers = noisy(12)
    times = np.random.default_rng(1).integers(0, 3, 12)
    again = [at for at, number in enumerate(times) for _ in range(number)]
    repeated = match_boxes([truth[at] for at in again], [answers[at] for at in again], 2)
    drawn = match_boxes(truth, answers, 2).resampled(times)
    assert drawn == pytest.approx(repeated.average_precision(), abs=2e-3)


def test_the_interval_holds_the_figure_and_narrows_with_more_images() -> None:
    widths = []
    for images in (40, 160):
        matches = match_boxes(*noisy(images), 2, ("all",))
        low, high = matches.interval
        assert low < matches.average_precision() < high
        widths.append(high - low)
    assert widths[1] < 0.8 * widths[0]
    assert match_boxes(*noisy(20), 2, ("all",)).interval is None


def test_the_best_threshold_lies_between_what_is_right_and_what_is_not() -> None:
    truth = [true((0, 0, 0, 50, 50), (1, 100, 0, 150, 50))]
    answers = [
        found(
            (0, 0.8, 0, 0, 50, 50),
            (0, 0.4, 200, 200, 250, 250),
            (1, 0.3, 100, 0, 150, 50),
            (1, 0.1, 0, 200, 50, 250),
        )
    ]
    matches = match_boxes(truth, answers, 2)
    assert matches.best_threshold(0) == pytest.approx((0.6, 1.0))
    assert matches.best_threshold(1) == pytest.approx((0.2, 1.0))
    assert matches.best_threshold() == pytest.approx((0.2, 0.8))


def test_boxes_of_equal_confidence_are_shown_together() -> None:
    truth = [true((0, 0, 0, 50, 50))]
    answers = [found((0, 0.5, 0, 0, 50, 50), (0, 0.5, 200, 0, 250, 50))]
    threshold, f1 = match_boxes(truth, answers, 1).best_threshold()
    assert threshold < 0.5
    assert f1 == pytest.approx(2 / 3)
