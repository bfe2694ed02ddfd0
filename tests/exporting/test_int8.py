"""Which layers of a network stay in float."""

from __future__ import annotations

import onnx
import pytest

from pplcnet.errors import ConversionError
from pplcnet.exporting.int8 import depthwise_convolutions, layers_after
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
