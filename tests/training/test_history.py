"""history.csv: its columns by task, and rows of earlier versions."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pplcnet.tasks.task import Measure
from pplcnet.training.history import (
    are_history_columns,
    history_columns,
    in_columns,
    line_of,
    metrics_of,
    write_history,
)

COLUMNS = history_columns(["top1", "other"], "top1")
ROW = dict(zip(COLUMNS, (1, 2.0, 0.5, 0.25, 1.5, 0.75, 0.1, 90.0), strict=True))


def test_columns_are_named_by_what_is_measured(tmp_path: Path) -> None:
    assert metrics_of(COLUMNS) == ("top1", "other")
    assert are_history_columns(COLUMNS)
    assert not are_history_columns((*COLUMNS, "more"))
    assert not are_history_columns(())
    write_history(tmp_path / "history.csv", [ROW])
    with (tmp_path / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["validation_top1"] == "0.75"
    write_history(tmp_path / "history.csv", [])
    assert not (tmp_path / "history.csv").exists()


def test_the_line_calls_the_measure_by_its_title() -> None:
    assert line_of(ROW, 3, Measure("top1", "top-1", is_share=True)) == (
        "epoch   1/3  loss 2.000  top-1 0.500  other 0.250  validation loss 1.500"
        "  validation top-1 0.750  90 images/s"
    )
    titled = Measure("top1", "top-1", is_share=True, of_steps={"other": "labels right"})
    assert "top-1 0.500  labels right 0.250  validation" in line_of(ROW, 3, titled)


def test_rows_of_version_0_1_get_the_names_of_today() -> None:
    columns = history_columns(["accuracy"], "map")
    old = {
        "epoch": 1, "loss": 2.0, "accuracy": 0.5, "validation_loss": 1.5,
        "validation_accuracy": 0.75, "learning_rate": 0.1, "images_per_second": 90.0,
    }  # fmt: skip
    assert in_columns(old, columns)["validation_map"] == 0.75
    assert in_columns(ROW, COLUMNS) == ROW
    with pytest.raises(ValueError, match="other columns"):
        in_columns(ROW, columns)
