"""PicoDet from an ONNX file: the published export gives the published weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from pplcnet.errors import WeightsError
from pplcnet.models.blocks import layer_name
from pplcnet.weights.detection_names import to_layer_names
from pplcnet.weights.detector_graphs import DetectorGraph, read_detector_graph
from tests.weights.onnx_graphs import a_convolution_and_its_sigmoid

PUBLISHED = "reference/picodet/xs_320_coco/picodet_xs_320_lcnet_postprocessed.onnx"


@pytest.fixture(scope="module")
def published(shared: Path) -> onnx.ModelProto:
    return onnx.load(shared / PUBLISHED)


def _check_weights(found: DetectorGraph, shared: Path) -> None:
    assert found.name == "picodet_xs"
    assert found.options == {"num_classes": 80, "image_size": (320, 320)}
    by_layer = {}
    for name, tensor in found.tensors.items():
        path, _, part = name.rpartition(".")
        by_layer[layer_name(path), part] = tensor
    with np.load((shared / PUBLISHED).with_name("weights_bnfolded.npz")) as file:
        expected = to_layer_names(dict(file))
    assert len(by_layer) == len(expected) == 2 * 98
    for name, tensor in expected.items():
        path, _, part = name.rpartition(".")
        np.testing.assert_array_equal(by_layer[layer_name(path), part], tensor, err_msg=name)


def test_the_published_file_with_suppression_has_the_published_weights(shared: Path) -> None:
    _check_weights(read_detector_graph(shared / PUBLISHED), shared)


def test_without_suppression_and_with_operators_in_another_order_it_has_them_too(
    published: onnx.ModelProto, shared: Path, tmp_path: Path
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(published)
    # The export without it ends in a level's scores and sides. The order puts sides before scores
    # and deep levels before shallow ones where the graph allows it.
    nodes = [each for each in model.graph.node if each.op_type != "NonMaxSuppression"]
    names = {each.name for each in model.graph.initializer}
    waiting, ordered, known = nodes[::-1], [], {*names, "image", "scale_factor", ""}
    while ready := [each for each in waiting if known >= set(each.input)]:
        ordered.append(ready[0])
        waiting.remove(ready[0])
        known |= set(ready[0].output)
    convolutions = [each.input[1] for each in ordered if each.op_type == "Conv"]
    assert convolutions != [each.input[1] for each in nodes if each.op_type == "Conv"]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    (tmp_path / "raw.onnx").write_bytes(model.SerializeToString())
    _check_weights(read_detector_graph(tmp_path / "raw.onnx"), shared)


def test_an_export_that_was_not_simplified_says_how_to(
    published: onnx.ModelProto, tmp_path: Path
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(published)
    next(each for each in model.graph.node if each.op_type == "Conv").input.pop()
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=r"not folded .* python -m onnxsim"):
        read_detector_graph(tmp_path / "x.onnx")


def test_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(a_convolution_and_its_sigmoid().SerializeToString())
    with pytest.raises(WeightsError, match="is not PicoDet as PaddleDetection exports it"):
        read_detector_graph(tmp_path / "x.onnx")


def test_a_detector_with_two_layers_exchanged_is_refused(
    published: onnx.ModelProto, tmp_path: Path
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(published)
    node = next(each for each in model.graph.node if each.name == "Conv_54")
    node.input[0] = "hardswish_92.tmp_0"  # another map of as many channels
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="is not PicoDet"):
        read_detector_graph(tmp_path / "x.onnx")
