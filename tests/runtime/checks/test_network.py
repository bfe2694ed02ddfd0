"""Networks that no exporter of ours wrote never reach an engine."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.errors import BundleError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.checks.network import Sizes, check_network
from pplcnet.runtime.classifier import Classifier
from pplcnet.runtime.engines.engine import open_engine
from tests.runtime.networks import small_network


def _check(model: onnx.ModelProto) -> None:
    check_network(model.SerializeToString(), ".onnx", Sizes((8, 8), {"logits": (2,)}))


@pytest.mark.parametrize("batch", [1, 4, "N"])
def test_what_the_exporter_writes_is_accepted_and_runs(batch: int | str) -> None:
    model = small_network(batch)
    _check(model)
    engine = open_engine("onnxruntime", model.SerializeToString())
    images = np.zeros((batch if batch != "N" else 3, 8, 8, 3), np.uint8)
    assert engine.run(images)["logits"].shape == (len(images), 2)


def _node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(each for each in model.graph.node if each.name == name)


def _constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(each for each in model.graph.initializer if each.name == name)


def _attribute(model: onnx.ModelProto, node: str, name: str) -> onnx.AttributeProto:
    return next(each for each in _node(model, node).attribute if each.name == name)


def _conv_of_one_input(model: onnx.ModelProto) -> None:
    _node(model, "stem.swish").op_type = "Conv"


def _external_data(model: onnx.ModelProto) -> None:
    tensor = _constant(model, "fc.weight")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def _loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    node = helper.make_node("Loop", ["", ""], ["again"], body=body)
    model.graph.node.insert(0, node)


def _function(model: onnx.ModelProto) -> None:
    model.functions.add().name = "f"


def _huge_pads(model: onnx.ModelProto) -> None:
    _attribute(model, "stem", "pads").ints[:] = [10**6] * 4


def _negative_pads(model: onnx.ModelProto) -> None:
    _attribute(model, "stem", "pads").ints[:] = [-3] * 4


def _no_strides(model: onnx.ModelProto) -> None:
    _attribute(model, "most", "strides").ints[:] = [0, 0]


def _dilated(model: onnx.ModelProto) -> None:
    _node(model, "stem").attribute.append(helper.make_attribute("dilations", [2**40, 1]))


def _automatic_pads(model: onnx.ModelProto) -> None:
    _node(model, "stem").attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))


def _other_domain(model: onnx.ModelProto) -> None:
    _node(model, "gate").domain = "com.microsoft"


def _other_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 21


def _second_opset(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))


def _short_weights(model: onnx.ModelProto) -> None:
    tensor = _constant(model, "fc.weight")
    tensor.raw_data = tensor.raw_data[:-4]


def _huge_shape(model: onnx.ModelProto) -> None:
    _constant(model, "fc.weight").dims[:] = [2**40, 2**40]


def _before_it_is_made(model: onnx.ModelProto) -> None:
    _node(model, "stem").input[0] = "fc"


def _made_twice(model: onnx.ModelProto) -> None:
    _node(model, "gate").output[0] = "pool"


def _over_a_constant(model: onnx.ModelProto) -> None:
    _node(model, "gate").output[0] = "mean"


def _wide_concat(model: onnx.ModelProto) -> None:
    at = list(model.graph.node).index(_node(model, "stem.swish"))
    name = "stem.swish"
    for turn in range(20):
        model.graph.node.insert(
            at + 1 + turn, helper.make_node("Concat", [name] * 16, [f"wide{turn}"], axis=1)
        )
        name = f"wide{turn}"


def _another_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _another_output_name(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "pool"


def _wrong_description(model: onnx.ModelProto) -> None:
    shape = [1, 4, 2**30, 2**30]
    model.graph.value_info.append(helper.make_tensor_value_info("pool", TensorProto.FLOAT, shape))


def _sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().dims.append(4)


def _computed_shape(model: onnx.ModelProto) -> None:
    _node(model, "apart").input[1] = "pool"


def _larger_shape(model: onnx.ModelProto) -> None:
    values = np.array([0, 2, 2, 4, 2**40], np.int64)
    _constant(model, "halves").CopyFrom(numpy_helper.from_array(values, "halves"))


def _computed_weights(model: onnx.ModelProto) -> None:
    _node(model, "fc").input[1] = "flat"


def _groups(model: onnx.ModelProto) -> None:
    _attribute(model, "stem", "group").i = 2


def _zero_point_of_another_type(model: onnx.ModelProto) -> None:
    tensor = _constant(model, "zero")
    tensor.data_type = TensorProto.INT32
    tensor.raw_data = b"\0" * 4


def _subgraph_attribute(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "g", [], [])
    _node(model, "gate").attribute.append(helper.make_attribute("body", graph))


def _referenced_attribute(model: onnx.ModelProto) -> None:
    _attribute(model, "flat", "axis").ref_attr_name = "x"


def _infinite_batch(model: onnx.ModelProto) -> None:
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 2**60


FAULTS = [
    _conv_of_one_input, _external_data, _loop, _function, _huge_pads, _negative_pads, _no_strides,
    _dilated, _automatic_pads, _other_domain, _other_opset, _second_opset, _short_weights,
    _huge_shape, _before_it_is_made, _made_twice, _over_a_constant, _wide_concat, _another_input,
    _another_output_name, _wrong_description, _sparse, _computed_shape, _larger_shape,
    _computed_weights, _groups, _zero_point_of_another_type, _subgraph_attribute,
    _referenced_attribute, _infinite_batch,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__.strip("_"))
def test_a_graph_that_no_exporter_wrote_is_refused(
    fault: Callable[[onnx.ModelProto], None],
) -> None:
    model = small_network()
    _check(model)
    fault(model)
    with pytest.raises(BundleError, match="cannot load this network"):
        _check(model)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_engine_has_the_same_door(engine: str) -> None:
    model = small_network()
    _conv_of_one_input(model)
    pytest.importorskip(engine)
    with pytest.raises(BundleError, match="the operator Conv with 1 inputs"):
        open_engine(engine, model.SerializeToString())


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        (Sizes((8, 16), {"logits": (2,)}), "takes images of 8x8; the manifest says 8x16"),
        (
            Sizes((8, 8), {"logits": (3,)}),
            r"outputs are 'logits' \(2,\); the manifest says 'logits' \(3,\)",
        ),
    ],
)
def test_a_network_of_other_sizes_than_its_manifest_says_is_refused(
    sizes: Sizes, complaint: str
) -> None:
    with pytest.raises(BundleError, match=complaint):
        check_network(small_network().SerializeToString(), ".onnx", sizes)


def test_a_field_that_stands_twice_is_refused() -> None:
    """One reader takes the first graph, another the last, a third both."""
    content = small_network().SerializeToString()
    with pytest.raises(BundleError, match="twice"):
        check_network(content + content, ".onnx")


def test_a_network_of_ones_own_runs_when_it_is_trusted(tmp_path: Path) -> None:
    model = small_network()
    _node(model, "gate").op_type = "Tanh"
    manifest = Manifest(
        classes=("a", "b"),
        preprocessing=Preprocessing(image_size=(8, 8)),
        network={"name": "mine"},
        variants={"onnx": {"file": "model.onnx"}},
    )
    files = {"model.onnx": model.SerializeToString()}
    path = write_bundle(tmp_path / "x.bundle", manifest, files).path
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(BundleError, match=r"Tanh.*--trust-network"):
        Classifier(path).predict(image)
    assert Classifier(path, trust_network=True).predict(image).best.label in ("a", "b")


def _tflite(**changes: bytes) -> bytes:
    """The beginning of a file of the right kind, cut off."""
    return struct.pack("<I4s", 1 << 20, changes.get("kind", b"TFL3")) + b"\0" * 64


@pytest.mark.parametrize("content", [b"", b"TFL3", _tflite(), _tflite(kind=b"NONE")])
def test_a_tflite_file_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="cannot load this network"):
        check_network(content, ".tflite")


def test_tensors_that_are_kept_until_the_end_count_together() -> None:
    model = small_network()
    graph = model.graph
    last = next(at for at, node in enumerate(graph.node) if node.name == "most")
    source, joined = graph.node[last].input[0], graph.node[last].input[0]
    copies = [helper.make_node("Relu", [source], [f"copy.{at}"]) for at in range(1500)]
    sums = []
    for at in range(len(copies)):
        sums.append(helper.make_node("Add", [joined, f"copy.{at}"], [f"sum.{at}"]))
        joined = f"sum.{at}"
    graph.node[last].input[0] = joined
    rest = list(graph.node)

    def ordered(*middle: list[onnx.NodeProto]) -> None:
        del graph.node[:]
        graph.node.extend([*rest[:last], *(each for part in middle for each in part), *rest[last:]])

    ordered([each for pair in zip(copies, sums, strict=True) for each in pair])
    _check(model)  # one copy at a time
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pplcnet.runtime.checks.onnx.FREE_LIVE", 1 << 14)
        _check(model)
        ordered(copies, sums)
        with pytest.raises(BundleError, match="at the same time"):
            _check(model)
