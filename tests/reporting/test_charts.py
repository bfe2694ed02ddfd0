"""Charts as SVG: what they are drawn on."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

from pplcnet.reporting.charts import curves


@pytest.mark.parametrize(
    ("values", "is_logarithmic"),
    [
        ([381.0, 2.3, 0.9, 0.4, 0.3], True),
        ([2.3, 1.9, 0.9, 0.4, 0.3], False),
        ([381.0, 0.0, 0.9, 0.4, 0.3], False),
        ([math.nan] * 5, False),
    ],
)
def test_a_loss_that_begins_far_out_leaves_the_rest_readable(
    values: list[float], is_logarithmic: bool
) -> None:
    drawn = str(curves("Loss", range(1, 6), {"validation": values}, "loss by epoch"))
    assert ("logarithmic" in drawn) is is_logarithmic
