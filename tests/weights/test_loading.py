"""Weights for a network whose head a task has replaced."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.errors import WeightsError
from pplcnet.models.build import build_model
from pplcnet.weights import native
from pplcnet.weights.loading import load_pretrained
from pplcnet.weights.mapping import load_state_dict

NETWORK = "pplcnet_x0_25"


def _with_another_head() -> keras.Model:
    stages = build_model(NETWORK, image_size=32, output="stages")
    pooled = keras.layers.GlobalAveragePooling2D()(list(stages.output.values())[-1])
    return keras.Model(stages.input, keras.layers.Dense(3, name="colour")(pooled), name=NETWORK)


def test_a_head_of_its_own_stays_random_and_the_backbone_is_loaded(tmp_path: Path) -> None:
    source = build_model(NETWORK, num_classes=4, image_size=32)
    native.write_npz(source, tmp_path / "w.npz")
    model, expected = _with_another_head(), native.get_values(source)
    own = native.get_values(model)["colour.kernel"]
    (line,) = load_pretrained(model, tmp_path / "w.npz", own_layers=["colour"])
    assert line.endswith("no matching weights: colour")
    found = native.get_values(model)
    np.testing.assert_array_equal(found.pop("colour.kernel"), own)
    found.pop("colour.bias")
    assert len(found) > 50
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    with pytest.raises(WeightsError, match=r"missing: colour\.kernel"):
        load_pretrained(model, tmp_path / "w.npz")


def test_tensors_of_a_replaced_head_are_left_out() -> None:
    layers = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="inner")])
    model = keras.Model(layers.inputs, keras.layers.Dense(2, name="colour")(layers.outputs[0]))
    tensors = {
        "inner.weight": np.ones((4, 3), np.float32), "inner.bias": np.ones(3, np.float32),
        "fc.weight": np.ones((3, 9), np.float32), "fc.bias": np.ones(9, np.float32),
    }  # fmt: skip
    fresh = load_state_dict(model, tensors, "test", fresh_head=True, own_layers=["colour"])
    assert fresh == ["colour"]
    np.testing.assert_array_equal(model.get_layer("inner").bias, np.ones(3))
    with pytest.raises(WeightsError, match=r"left over: fc\.bias"):
        load_state_dict(model, tensors, "test", fresh_head=True)
