"""How far outputs are from those of the reference."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.exporting.reference import Reference
from pplcnet.tasks.classification.judge import ClassJudge
from pplcnet.tasks.classification.task import TASK

LOGITS = np.array([[1.0, -4.0], [2.0, 3.0]], np.float32)
BOXES = np.ones((2, 5, 4), np.float32)
REFERENCE = Reference(
    images=np.zeros((2, 8, 8, 3), np.uint8),
    outputs={"logits": LOGITS, "boxes": BOXES},
    judge=ClassJudge(np.array([0, 1])),
    measure=TASK.measure,
)


def test_the_difference_is_that_of_the_output_that_is_furthest_off() -> None:
    assert REFERENCE.relative_difference(REFERENCE.outputs) == 0
    others = {"logits": LOGITS + np.float32(0.4), "boxes": BOXES * np.float32(1.5)}
    assert REFERENCE.relative_difference(others) == pytest.approx(0.5)
    others["boxes"] = BOXES
    assert REFERENCE.relative_difference(others) == pytest.approx(0.1)


def test_a_nan_is_a_difference_of_nan() -> None:
    broken = LOGITS.copy()
    broken[0, 0] = np.nan
    outputs = {"logits": broken, "boxes": BOXES}
    assert np.isnan(REFERENCE.relative_difference(outputs))
    assert np.isnan(REFERENCE.value(outputs))
