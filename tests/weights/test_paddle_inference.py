"""Paddle inference models: two files that belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import WeightsError
from pplcnet.weights.files import read_weights

INFERENCE = "reference/paddle_files/PPLCNet_x0_25_17classes_infer"


def test_an_inference_model_needs_both_files(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / INFERENCE / "inference.json", tmp_path)
    with pytest.raises(WeightsError, match=r"inference\.pdiparams: cannot be read"):
        read_weights(tmp_path / "inference.json")


def test_parameters_cut_off_or_too_many(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / INFERENCE / "inference.json", tmp_path)
    content = (shared / INFERENCE / "inference.pdiparams").read_bytes()
    for changed, complaint in ((content[:-5], "cut off"), (content + b"12345", "5 bytes are left")):
        (tmp_path / "inference.pdiparams").write_bytes(changed)
        with pytest.raises(WeightsError, match=complaint):
            read_weights(tmp_path / "inference.json")


def test_the_textline_model_has_other_strides_and_no_last_convolution(shared: Path) -> None:
    folder = shared / "reference" / "textline_ori_x0_25"
    found = read_weights(folder)
    assert found.options["strides"] == ((1, 2), (2, 1), (2, 1), (2, 1), (2, 1))
    assert (found.options["last_conv"], found.options["dropout"]) == (False, 0.0)
    with np.load(folder / "weights_named.npz") as named:
        assert set(named) == set(found.tensors)
        for key in named:
            np.testing.assert_array_equal(found.tensors[key], named[key])
