"""Figures from summed areas, equal to PaddleSeg's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pplcnet.data.masks import IGNORED
from pplcnet.tasks.segmentation.areas import Areas, area_table, miou_interval

TRUTH = np.array([[0, 0, 1, 1], [0, 2, 1, 255]], np.uint8)
ANSWER = np.array([[0, 1, 1, 1], [0, 1, 1, 0]], np.uint8)


@pytest.mark.parametrize("case", ["metrics_a", "metrics_absent_class", "metrics_perfect"])
def test_figures_are_those_of_the_original(shared: Path, case: str) -> None:
    file = np.load(shared / "reference" / "seg_losses_and_metrics.npz")
    pairs = zip(file[f"{case}:labels"], file[f"{case}:predicted"], strict=True)
    areas = Areas(sum(area_table(truth, answer, 5) for truth, answer in pairs))
    np.testing.assert_array_equal(areas.right, file[f"{case}:intersection"])
    np.testing.assert_array_equal(areas.answered, file[f"{case}:predicted_area"])
    np.testing.assert_array_equal(areas.there, file[f"{case}:label_area"])
    is_there = ~areas.is_absent
    for at, name in enumerate(("class_iou", "class_precision", "class_recall", "class_dice")):
        found = np.array([row[at] for row in areas.ratios()], float)
        np.testing.assert_allclose(found[is_there], file[f"{case}:{name}"][is_there], 1e-12)
        assert np.isnan(found[~is_there]).all()
    np.testing.assert_allclose(areas.miou, file[f"{case}:class_iou"][is_there].mean(), 1e-12)
    np.testing.assert_allclose(areas.mean_dice, file[f"{case}:class_dice"][is_there].mean(), 1e-12)
    np.testing.assert_allclose(areas.accuracy, file[f"{case}:accuracy"], 1e-12)
    np.testing.assert_allclose(areas.kappa, file[f"{case}:kappa"], 1e-12)


def test_the_table_has_what_is_there_by_what_is_answered() -> None:
    assert area_table(TRUTH, ANSWER, 3).tolist() == [[2, 1, 0, 0], [0, 3, 0, 0], [0, 1, 0, 0]]


def test_a_pixel_without_an_answer_is_wrong() -> None:
    answer = np.full_like(TRUTH, IGNORED)
    areas = Areas(area_table(TRUTH, answer, 3))
    assert areas.table[:, -1].tolist() == [3, 3, 1]
    assert (areas.accuracy, areas.miou) == (0, 0)


def test_absent_classes_count_in_no_mean() -> None:
    areas = Areas(area_table(TRUTH, ANSWER, 7))
    assert areas.is_absent.tolist() == [False] * 3 + [True] * 4
    assert areas.miou == pytest.approx((2 / 3 + 3 / 5 + 0) / 3)
    assert areas.ratios()[6] == (None, None, None, None)
    assert areas.ratios()[2] == (0, None, 0, 0)


def test_nothing_labelled_has_no_figures() -> None:
    areas = Areas(area_table(np.full((2, 2), IGNORED, np.uint8), ANSWER[:, :2], 3))
    assert (areas.miou, areas.accuracy, areas.kappa, areas.mean_dice) == (None, None, None, None)


def test_the_interval_contains_the_figure_and_narrows_with_more_images() -> None:
    generator = np.random.default_rng(3)
    there = generator.integers(50, 100, (400, 3))
    right = (there * generator.uniform(0.2, 1, (400, 3))).astype(np.int64)
    few, many = (miou_interval(right[:n], there[:n], there[:n]) for n in (20, 400))
    assert few is not None
    assert many is not None
    own = Areas(np.diag(right.sum(0))).table.diagonal() / (2 * there - right).sum(0)
    assert many.low < own.mean() < many.high
    assert few.high - few.low > 2 * (many.high - many.low)
    assert miou_interval(right[:9], there[:9], there[:9]) is None
    assert miou_interval(right * 0, there * 0, there * 0) is None
