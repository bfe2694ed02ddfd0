"""An export that does not answer as Keras does is refused with the numbers."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ConversionError
from pplcnet.exporting.parity import (
    describe_parity,
    in_full_precision,
    keras_outputs,
    measure_parity,
)
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.tasks.classification.judge import ClassJudge

JUDGE = ClassJudge(np.zeros(0, np.int64))
LOGITS = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")


def test_equal_outputs_agree() -> None:
    parity = measure_parity({"logits": LOGITS}, {"logits": LOGITS}, JUDGE)
    assert parity["outputs"]["logits"]["largest_difference"] == 0
    assert describe_parity(parity).startswith("on 8 photos the largest difference from Keras is ")


@pytest.mark.parametrize("actual", [LOGITS + 0.01, np.full_like(LOGITS, np.nan)])
def test_a_difference_above_the_limit_is_refused_with_the_numbers(actual: np.ndarray) -> None:
    with pytest.raises(ConversionError, match=r"agreement.*the limits are"):
        measure_parity({"logits": LOGITS}, {"logits": actual}, JUDGE)


def test_every_output_has_to_agree() -> None:
    expected = {"logits": LOGITS, "features": LOGITS * 7}
    measure_parity(expected, dict(expected), JUDGE)
    with pytest.raises(ConversionError, match="features"):
        measure_parity(expected, {**expected, "features": LOGITS}, JUDGE)


def elsewhere() -> contextlib.AbstractContextManager[object]:
    """A device other than the CPU, where the backend can pretend to have one."""
    is_torch = keras.backend.backend() == "torch"
    return keras.device("meta") if is_torch else contextlib.nullcontext()


def test_full_precision_is_float32_on_the_cpu_under_any_policy() -> None:
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        with elsewhere(), in_full_precision():
            keras.utils.set_random_seed(0)
            model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
            pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
            manifest = Manifest(("a", "b", "c"), Preprocessing((32, 32)), {})
            outputs = keras_outputs(model, manifest, pixels)["logits"]
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert outputs.shape == (20, 3)
    assert outputs.dtype == np.float32


def test_full_precision_ends_with_an_error_too() -> None:
    before = keras.config.dtype_policy()
    with pytest.raises(KeyError), in_full_precision():
        raise KeyError
    assert keras.config.dtype_policy() is before
