"""How far outputs are from those of the reference."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.exporting import reference as reference_module
from pplcnet.exporting.reference import Reference
from pplcnet.tasks.classification.judge import ClassJudge

LOGITS = np.array([[1.0, -4.0], [2.0, 3.0]], np.float32)
BOXES = np.ones((2, 5, 4), np.float32)
OUTPUTS = {"logits": LOGITS, "boxes": BOXES}


def _parts(outputs: dict) -> list[dict]:
    """An image at a time."""
    return [{name: each[at : at + 1] for name, each in outputs.items()} for at in range(2)]


def _reference(outputs: dict = OUTPUTS) -> Reference:
    judge = ClassJudge(np.array([0, 1]))
    images = np.zeros((2, 8, 8, 3), np.uint8)
    return Reference.of_outputs("classification", images, judge, _parts(outputs))


def _difference(reference: Reference, outputs: dict) -> float:
    return reference.compare(_parts(outputs)).relative_difference


def test_the_difference_is_that_of_the_output_that_is_furthest_off() -> None:
    reference = _reference()
    assert _difference(reference, OUTPUTS) == 0
    others = {"logits": LOGITS + np.float32(0.4), "boxes": BOXES * np.float32(1.5)}
    assert _difference(reference, others) == pytest.approx(0.5)
    others["boxes"] = BOXES
    assert _difference(reference, others) == pytest.approx(0.1)


def test_outputs_too_large_to_be_kept_are_compared_for_some_of_the_images(monkeypatch) -> None:
    monkeypatch.setattr(reference_module, "KEPT_BYTES", LOGITS[:1].nbytes + BOXES[:1].nbytes)
    reference = _reference()
    assert len(reference.kept["boxes"]) == 1
    assert reference.judged.value == 1
    others = {"logits": np.array([[3.0, -4.0], [0.0, 0.0]], np.float32), "boxes": BOXES}
    assert _difference(reference, others) == pytest.approx(0.5)
    assert reference.compare(_parts(others)).judged.value == 0.5


def test_outputs_that_are_all_zero_differ_by_nothing_from_themselves() -> None:
    zero = {name: np.zeros_like(each) for name, each in OUTPUTS.items()}
    assert _difference(_reference(zero), zero) == 0


def test_a_nan_is_a_difference_of_nan() -> None:
    broken = LOGITS.copy()
    broken[0, 0] = np.nan
    outputs = {"logits": broken, "boxes": BOXES}
    compared = _reference().compare(_parts(outputs))
    assert np.isnan(compared.relative_difference)
    assert np.isnan(compared.judged.value)
    assert np.isnan(_difference(_reference(outputs), OUTPUTS))
