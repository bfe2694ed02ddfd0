"""PaddleDetection's names of a detector's tensors."""

from __future__ import annotations

import numpy as np
import pytest

from pplcnet.errors import WeightsError
from pplcnet.weights.detection_names import is_detector, to_layer_names


def test_a_detector_has_a_backbone_and_a_head() -> None:
    one = np.zeros(1)
    assert is_detector({"backbone.conv1.conv.weight": one, "head.head_cls0.bias": one})
    assert not is_detector({"conv1.conv.weight": one, "fc.weight": one})


def test_second_names_and_unused_tensors_are_left_out() -> None:
    tensors = {
        "backbone.conv1.conv.weight": np.ones(2),
        "head.head_cls0.bias": np.ones(3),
        "head.head_cls_list.0.bias": np.ones(3),
        "head.head_reg_list.3.weight": np.ones(4),
        "head.p3_feat.scale_reg": np.ones(1),
        "head.distribution_project.project": np.arange(8),
    }
    assert sorted(to_layer_names(tensors)) == [
        "conv1.conv.weight", "head.head_cls0.bias", "head.head_reg3.weight"
    ]  # fmt: skip


def test_two_values_of_one_tensor_are_refused() -> None:
    tensors = {"head.head_cls0.bias": np.ones(3), "head.head_cls_list.0.bias": np.zeros(3)}
    with pytest.raises(WeightsError, match=r"head_cls0\.bias is there twice"):
        to_layer_names(tensors)
