"""Which layers of a network stay in float."""

from __future__ import annotations

import onnx
import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ConversionError
from pplcnet.exporting.int8_ways import depthwise_convolutions, layers_after, layers_before_stride
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from tests.runtime.networks import small_network


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    return small_network()


def test_the_layers_after_some_are_those_that_depend_on_them(network: onnx.ModelProto) -> None:
    assert layers_after(network, ["average"]) == ["flat", "fc", "logits"]
    # A gate does not make a head of all that it scales.
    assert layers_after(network, ["most", "average"])[0] == "average"
    assert "stem.swish" not in layers_after(network, ["pool"])
    assert layers_after(network, []) == []


def test_a_head_whose_input_is_missing_is_named(network: onnx.ModelProto) -> None:
    with pytest.raises(ConversionError, match="no layer 'avg_pool'"):
        layers_after(network, ["avg_pool"])


def test_depthwise_convolutions_are_those_in_groups(network: onnx.ModelProto) -> None:
    assert depthwise_convolutions(network) == []
    stem = next(node for node in network.graph.node if node.name == "stem")
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    grouped = next(node for node in copy.graph.node if node.name == stem.name)
    next(each for each in grouped.attribute if each.name == "group").i = 4
    assert depthwise_convolutions(copy) == ["stem"]


def test_layers_before_a_stride_are_those_with_more_positions() -> None:
    model = to_onnx(
        build_model("pplcnet_x0_25", num_classes=4, image_size=64),
        Manifest(tuple("abcd"), Preprocessing((64, 64)), {}),
        batch=1,
    )
    in_float = layers_before_stride(model, 16)
    assert in_float[0] == "images_float"
    assert {"images_centred", "conv1_conv", "blocks4_1_pw_conv_conv"} <= set(in_float)
    rest = [node.name for node in model.graph.node if node.name not in in_float]
    assert rest[0] == "blocks5_0_dw_conv_conv"
    assert rest[-1] == "logits"
    assert layers_before_stride(model, 1) == []
