"""Convolutions of an ONNX file: read exactly, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pplcnet.errors import WeightsError
from pplcnet.weights.onnx_files import ConvolutionGraph, read_onnx_convolutions
from tests.weights.onnx_graphs import a_convolution_and_its_sigmoid


def _read(model: onnx.ModelProto, folder: Path) -> ConvolutionGraph:
    (folder / "file.onnx").write_bytes(model.SerializeToString())
    return read_onnx_convolutions(folder / "file.onnx")


def test_a_convolution_is_read_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    model = a_convolution_and_its_sigmoid()
    graph = _read(model, tmp_path)
    (found,) = graph.convolutions
    np.testing.assert_array_equal(found.weight, numpy_helper.to_array(model.graph.initializer[0]))
    np.testing.assert_array_equal(found.bias, [0.5, -0.5])
    assert (found.stride, found.groups, found.parents) == ((2, 2), 1, frozenset())
    assert found.feeds_sigmoid
    assert graph.image_size == (64, 96)


def test_the_first_convolutions_before_one_are_its_parents(tmp_path: Path) -> None:
    model = a_convolution_and_its_sigmoid()
    ones = numpy_helper.from_array(np.ones((2, 1, 1, 1), "f4"), "ones")
    model.graph.initializer.append(ones)
    model.graph.node.extend(
        [
            helper.make_node("Conv", ["scores", "ones"], ["a"], group=2),
            helper.make_node("Conv", ["a", "ones"], ["b"], group=2),
            helper.make_node("Add", ["b", "scores"], ["sum"]),
            helper.make_node("Conv", ["sum", "ones"], ["c"], group=2),
        ]
    )
    graph = _read(model, tmp_path)
    parents = [each.parents for each in graph.convolutions]
    assert parents == [frozenset(), {0}, {1}, {0, 2}]
    assert graph.convolutions[1].bias is None


def test_weights_in_nodes_and_among_the_inputs_are_found(tmp_path: Path) -> None:
    model = a_convolution_and_its_sigmoid()
    expected = _read(model, tmp_path).convolutions[0]
    bias = model.graph.initializer[1]
    described = helper.make_tensor_value_info("kernel", 1, [2, 3, 3, 3])
    model.graph.input.insert(0, described)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["bias"], value=bias))
    model.graph.initializer.pop()
    (found,) = _read(model, tmp_path).convolutions
    np.testing.assert_array_equal(found.weight, expected.weight)
    np.testing.assert_array_equal(found.bias, expected.bias)


def _in_another_file(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = 1


def _half(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 10


def _cut_off(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 3


def _computed(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[1] = "elsewhere"


def _twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def _dilated(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("dilations", [2, 2]))


def _scaled_before(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Sigmoid", ["image"], ["scaled"]))
    model.graph.node[1].input[0] = "scaled"


def _grey(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_in_another_file, "'kernel' are in another file"),
        (_half, "'kernel' are not plain float32"),
        (_cut_off, "'kernel' are cut off"),
        (_computed, "'elsewhere' of a convolution are computed, not stored"),
        (_twice, "two called 'kernel'"),
        (_dilated, "a convolution of another kind"),
        (_scaled_before, "its input is changed before the first convolution"),
        (_grey, "not an image of three channels"),
    ],
)
def test_what_cannot_be_taken_is_named(
    change: Callable[[onnx.ModelProto], None], complaint: str, tmp_path: Path
) -> None:
    model = a_convolution_and_its_sigmoid()
    change(model)
    with pytest.raises(WeightsError, match=complaint):
        _read(model, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no ONNX file", b"\x3a\x05abc"])
def test_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=r"file\.onnx: not"):
        read_onnx_convolutions(tmp_path / "file.onnx")


def test_a_number_of_operators_that_no_detector_has_is_refused(tmp_path: Path) -> None:
    model = a_convolution_and_its_sigmoid()
    model.graph.node.extend([helper.make_node("Add", [], [])] * 10_000)
    with pytest.raises(WeightsError, match="more than 10,000 operators"):
        _read(model, tmp_path)
