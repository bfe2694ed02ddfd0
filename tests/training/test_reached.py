"""The estimate before a training: the benchmark's row that is nearest to it."""

from __future__ import annotations

from pplcnet.models import catalog
from pplcnet.training.reached import Reached, describe_reached, reached_with, read_reached

ROWS = [
    Reached("pplcnet_x0_25", "none", 20, 10, 9, 0.4, 0.2, 0.6),
    Reached("pplcnet_x0_25", "none", 100, 10, 9, 0.6, 0.4, 0.8),
    Reached("pplcnet_x1_0", "none", 100, 10, 9, 0.7, 0.5, 0.9),
    Reached("pplcnet_x0_25", "fractal", 20, 10, 9, 0.5, 0.3, 0.7),
]


def test_the_nearest_scale_counts_first_and_then_the_photos() -> None:
    assert reached_with("pplcnet_x0_35", None, 90, ROWS) == ROWS[1]
    assert reached_with("pplcnet_x0_35", None, 30, ROWS) == ROWS[0]
    assert reached_with("pplcnet_x2_0", None, 60, ROWS) == ROWS[2]
    assert reached_with("pplcnet_x1_0", "fractal", 25, ROWS) == ROWS[3]


def test_what_the_benchmark_is_far_from_has_no_estimate() -> None:
    assert reached_with("pplcnet_x0_25", None, 5000, ROWS) is None
    assert reached_with("mobilenetv1_x0_25", None, 100, ROWS) is None
    assert reached_with("pplcnet_x0_25", "imagenet", 100, ROWS) is None


def test_the_line_says_what_was_measured() -> None:
    assert describe_reached(ROWS[1]) == (
        "estimate: pplcnet_x0_25 from scratch with 100 photos a class reached top-1 0.40 to 0.80 "
        "on the benchmark's small data sets (10 epochs); yours may be easier or harder"
    )


def test_the_table_that_ships_is_of_networks_that_exist() -> None:
    for row in read_reached():
        assert catalog.find(row.network)
        assert 0 <= row.lowest <= row.mean <= row.highest <= 1
        assert row.runs > 0
