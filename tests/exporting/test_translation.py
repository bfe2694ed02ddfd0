"""Keras to ONNX: few operators, and the same answers from every output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import keras
import numpy as np
import onnx
import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ConversionError
from pplcnet.exporting.embedding import manifest_with_embedding, with_embedding
from pplcnet.exporting.int8_ways import layers_after
from pplcnet.exporting.parity import keras_outputs, measure_parity
from pplcnet.exporting.timing import run_all
from pplcnet.exporting.translation import to_onnx
from pplcnet.models.build import build_model, features_of
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import installed_engines, open_engine
from pplcnet.tasks import TASKS, find
from tests.exporting.networks import manifest_of, random_images, translate, with_lively_statistics
from tests.exporting.pair.task import FEATURES
from tests.representatives import EACH_STRUCTURE


def _differences(
    model: keras.Model,
    manifest: Manifest,
    proto: onnx.ModelProto,
    images: int,
    engines: Sequence[str] = ("onnxruntime",),
) -> dict[str, dict[str, float]]:
    """The largest of each engine's outputs, of its largest value."""
    pixels, content = random_images(model, images), proto.SerializeToString()
    expected = keras_outputs(model, manifest, pixels)
    differences = {}
    for engine in engines:
        found = open_engine(engine, content, sizes=Sizes.of(manifest)).run(pixels)
        assert found.keys() == expected.keys()
        differences[engine] = {
            name: float(np.abs(found[name] - values).max() / np.abs(values).max())
            for name, values in expected.items()
        }
    return differences


@pytest.mark.parametrize("name", [*EACH_STRUCTURE, "pplcnet_x2_5"])
def test_every_network_answers_as_in_keras_and_embeds_what_comes_before_its_classifier(
    name: str,
) -> None:
    # Some random GhostNets nearly cancel out to zero, which magnifies any rounding.
    keras.utils.set_random_seed(1)
    model = with_lively_statistics(build_model(name, num_classes=7, image_size=64))
    task = find("classification")
    manifest = manifest_with_embedding(manifest_of(model), model, task)
    proto = to_onnx(with_embedding(to_deploy_form(model), manifest, task), manifest, batch=None)
    engines = [engine for engine in ("onnxruntime", "openvino") if engine in installed_engines()]
    whole = with_embedding(model, manifest, task)
    for engine, differences in _differences(whole, manifest, proto, 2, engines).items():
        assert differences.keys() == {"logits", "embedding"}
        assert max(differences.values()) < (5e-5 if engine == "onnxruntime" else 1e-4), engine

    classifier = next(node for node in reversed(proto.graph.node) if node.op_type == "Gemm")
    weight = next(each for each in proto.graph.initializer if each.name == classifier.input[1])
    assert manifest.outputs == {"logits": (7,), "embedding": (weight.dims[0],)}

    # What stays in float in INT8: the head, which in these networks is all after the last pooling.
    nodes = [node.name for node in proto.graph.node]
    last = max(
        at for at, each in enumerate(proto.graph.node) if each.op_type == "GlobalAveragePool"
    )
    assert layers_after(proto, find("classification").head_inputs) == nodes[last + 1 :]


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": (33, 47)},
        {"image_size": (80, 160), "strides": [(1, 2), (2, 1), (2, 1), (2, 1), (2, 1)]},
        {"last_conv": False},
        {"dropout": 0.0},
        {"image_size": 1},
    ],
    ids=["odd", "textline strides", "no last conv", "no dropout", "one pixel"],
)
def test_every_option_answers_as_in_keras(options: dict) -> None:
    model = build_model("pplcnet_x0_25", num_classes=4, **{"image_size": 48, **options})
    model = with_lively_statistics(model)
    proto = translate(model, batch=None)
    assert _differences(model, manifest_of(model), proto, 3)["onnxruntime"]["logits"] < 5e-5


def test_every_output_answers_as_in_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "pair", "tests.exporting.pair")
    network = with_lively_statistics(build_model("pplcnet_x0_25", num_classes=4, image_size=64))
    model = keras.Model(network.input, [network.output, features_of(network).map])
    manifest, pixels = manifest_of(model, task="pair"), random_images(model, 3)
    proto = to_onnx(model, manifest, batch=2)
    facts = {each.key: each.value for each in proto.metadata_props}
    assert facts["output"] == "logits: float32 (N, 4); features: float32 (N, 2, 2, 128)"
    content = proto.SerializeToString()
    found = run_all(open_engine("onnxruntime", content, sizes=Sizes.of(manifest)), pixels)
    assert {name: each.shape for name, each in found.items()} == {
        "logits": (3, 4),
        "features": (3, *FEATURES),
    }
    expected = keras_outputs(model, manifest, pixels)
    parity = measure_parity(expected, found, find("pair").judge(manifest, ()))
    assert list(parity["outputs"]) == ["logits", "features"]


def test_a_network_with_other_outputs_than_its_manifest_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TASKS, "pair", "tests.exporting.pair")
    model = build_model("pplcnet_x0_25", num_classes=4, image_size=64)
    with pytest.raises(ConversionError, match="1 outputs; its manifest has 2: logits, feat"):
        to_onnx(model, manifest_of(model, task="pair"), batch=1)
    pooled = keras.Model(model.input, [model.output, features_of(model).pooled])
    with pytest.raises(ConversionError, match=r"'features' has the shape \(1, 1, 128\)"):
        to_onnx(pooled, manifest_of(model, task="pair"), batch=1)


def test_the_graph_has_few_operators() -> None:
    proto = translate(build_model("pplcnet_x1_0", num_classes=5))
    counts = Counter(node.op_type for node in proto.graph.node)
    assert counts == {
        "Cast": 1, "Reshape": 2, "Sub": 1, "Transpose": 1, "Conv": 32, "HardSwish": 28, "Clip": 2,
        "Relu": 2, "Mul": 2, "GlobalAveragePool": 3, "Flatten": 1, "Gemm": 1, "Identity": 1,
    }  # fmt: skip
    (given,) = proto.graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    shape = [each.dim_value for each in given.type.tensor_type.shape.dim]
    assert shape == [1, 224, 224, 3]


@pytest.mark.parametrize(
    ("task", "ending"), [("classification", "softmax"), ("multilabel", "sigmoid")]
)
def test_the_metadata_says_what_the_outputs_are(task: str, ending: str) -> None:
    model = build_model("pplcnet_x0_25", num_classes=2, image_size=32)
    proto = to_onnx(model, manifest_of(model, task), batch=1)
    facts = {each.key: each.value for each in proto.metadata_props}
    assert set(facts) == {"classes", "preprocessing", "input", "network", "output", "task"}
    assert facts["task"] == task
    # Earlier versions of pplcnet tell the task by this text's end.
    assert facts["output"] == f"logits: float32 (N, classes), before {ending}"
