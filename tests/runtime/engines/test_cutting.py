"""A network that is cut to some of its outputs is the one that was exported without the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pplcnet.runtime.engines.cutting import cut_network
from pplcnet.runtime.engines.engine import open_engine
from tests.runtime.networks import small_network


@pytest.fixture
def content(common_bundle: Path) -> bytes:
    return (common_bundle / "model.onnx").read_bytes()


def _without_embedding(content: bytes) -> onnx.ModelProto:
    """The same by the onnx package."""
    model = onnx.load_from_string(content)
    for nodes in (model.graph.node, model.graph.output):
        nodes.remove(next(each for each in nodes if each.name == "embedding"))
    return model


def test_without_its_embedding_a_network_is_the_one_of_its_answers(content: bytes) -> None:
    assert cut_network(content, ("logits",)) == _without_embedding(content).SerializeToString()


def test_what_only_the_other_outputs_need_goes_too(content: bytes) -> None:
    model = onnx.load_from_string(cut_network(content, ("embedding",)))
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.output] == ["embedding"]
    assert "Gemm" not in {node.op_type for node in model.graph.node}
    used = {name for node in model.graph.node for name in node.input}
    assert {each.name for each in model.graph.initializer} <= used


def test_a_cut_network_computes_the_same_numbers(content: bytes) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    whole = open_engine("onnxruntime", content).run(images)
    assert list(whole) == ["logits", "embedding"]
    for name, expected in whole.items():
        found = open_engine("onnxruntime", cut_network(content, (name,))).run(images)
        assert list(found) == [name]
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("outputs", [("logits",), ("logits", "boxes"), ("boxes",)])
def test_a_file_that_has_no_other_outputs_stays_as_it_is(outputs: tuple[str, ...]) -> None:
    content = small_network().SerializeToString()
    assert cut_network(content, outputs) == content


def test_large_field_numbers_and_lengths_survive(content: bytes) -> None:
    model = onnx.load_from_string(content)
    model.model_version = 1 << 40
    helper.set_model_props(model, {"classes": "é" * 20000})
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(300, np.float32), "unused"))
    cut = onnx.load_from_string(cut_network(model.SerializeToString(), ("logits",)))
    assert cut.model_version == 1 << 40
    assert cut.metadata_props[0].value == "é" * 20000
    assert "unused" not in {each.name for each in cut.graph.initializer}
