"""Charts as SVG: what they are drawn on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from pplcnet.pages.charts import curves
from pplcnet.reports.sections import curve_charts
from pplcnet.tasks import find


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


@pytest.mark.parametrize(
    "rows",
    [
        "1e308,1e308,0,1,0\n2,-1e308,1,1,1", "-1e308,1,1,1,1\n1e308,1,1,1,1",
        "1,1e308,1,1,1\n2,1,1,1,1", "1,nan,1,inf,1\n2,1,1,1,1", f"{'9' * 400},1,1,1,1",
        "1,1,1", "x,y,z,\x00", "",
    ],
)  # fmt: skip
def test_a_damaged_history_is_drawn_as_far_as_it_goes(tmp_path: Path, rows: str) -> None:
    header = "epoch,loss,accuracy,validation_loss,validation_accuracy\n"
    (tmp_path / "history.csv").write_text(header + rows)
    assert len(curve_charts(tmp_path, find("classification").measure)) <= 2
