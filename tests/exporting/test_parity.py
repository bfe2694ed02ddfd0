"""An export that does not answer as Keras does is refused with the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.errors import ConversionError
from pplcnet.exporting.parity import describe_parity, measure_parity
from pplcnet.tasks.classification.judge import ClassJudge

JUDGE = ClassJudge(np.zeros(0, np.int64))
LOGITS = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")


def test_equal_outputs_agree() -> None:
    parity = measure_parity({"logits": LOGITS}, {"logits": LOGITS}, JUDGE)
    assert parity["outputs"]["logits"]["largest_difference"] == 0
    assert describe_parity(parity).startswith("on 8 photos the largest difference to Keras is ")


@pytest.mark.parametrize("actual", [LOGITS + 0.01, np.full_like(LOGITS, np.nan)])
def test_a_difference_above_the_limit_is_refused_with_the_numbers(actual: np.ndarray) -> None:
    with pytest.raises(ConversionError, match=r"agreement.*the limits are"):
        measure_parity({"logits": LOGITS}, {"logits": actual}, JUDGE)


def test_every_output_has_to_agree() -> None:
    expected = {"logits": LOGITS, "features": LOGITS * 7}
    measure_parity(expected, dict(expected), JUDGE)
    with pytest.raises(ConversionError, match="features"):
        measure_parity(expected, {**expected, "features": LOGITS}, JUDGE)
