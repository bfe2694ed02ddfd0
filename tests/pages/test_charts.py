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


@pytest.mark.parametrize(
    ("task", "header", "said"),
    [
        ("classification", "epoch,loss,top1,validation_loss,validation_top1", "training 0.300, "),
        ("multilabel", "epoch,loss,accuracy,validation_loss,validation_map", ""),
        # As version 0.1 called them.
        (
            "classification",
            "epoch,loss,accuracy,validation_loss,validation_accuracy",
            "training 0.300, ",
        ),
        ("multilabel", "epoch,loss,accuracy,validation_loss,validation_accuracy", ""),
    ],
)
def test_the_measure_has_a_training_curve_only_if_training_counts_it(
    tmp_path: Path, task: str, header: str, said: str
) -> None:
    (tmp_path / "history.csv").write_text(f"{header}\n1,2.0,0.2,1.5,0.5\n2,1.0,0.3,1.2,0.6\n")
    measure = find(task).measure
    loss, score = map(str, curve_charts(tmp_path, measure))
    assert "Loss by epoch; at the end training 1.000, validation 1.200" in loss
    assert f"{measure.title} by epoch; at the end {said}validation 0.600" in score
