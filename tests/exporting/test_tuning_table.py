"""The rows of a tuning: which may be used, and which comes first."""

from __future__ import annotations

from pplcnet.exporting.timing import Latency
from pplcnet.exporting.tuning_table import Row, rank
from pplcnet.runtime.selection import Choice
from pplcnet.tasks.task import Measure


def _row(precision: str, ms: float, rate: float, verdict: str = "") -> Row:
    choice = Choice("onnx", "openvino", precision)
    measure = Measure("top1", "top-1", is_share=True)
    return Row(choice, 0.9, 1.0, 0.0, Latency(ms, ms), 1, rate, verdict, measure)


def test_a_lower_precision_that_is_not_faster_is_not_used() -> None:
    float32, int8 = _row("float32", 1.0, 1000), _row("int8", 0.99, 1005)
    ranked = rank([int8, float32])
    assert [row.choice.precision for row in ranked] == ["float32", "int8"]
    assert ranked[1].verdict.startswith("not used")


def test_the_fastest_of_those_that_may_be_used_comes_first() -> None:
    float32, faster = _row("float32", 1.0, 1000), _row("int8", 0.6, 1800)
    assert rank([float32, faster])[0] == faster
    wrong = _row("bfloat16", 0.1, 9000, "loses 0.1 of top-1")
    assert rank([wrong, float32, faster]) == [faster, float32, wrong]


def test_a_row_is_written_under_the_name_of_its_measure() -> None:
    values = _row("int8", 0.6, 1800).to_dict()
    assert values["top1"] == 0.9
    assert values["median_ms"] == 0.6
    assert _row("int8", 0.6, 1800)._replace(latency=None).to_dict()["median_ms"] is None
