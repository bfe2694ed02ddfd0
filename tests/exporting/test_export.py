"""The exporter: few operators, the same answers as Keras, and an error for what it cannot do."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.data.image_files import find_images
from pplcnet.errors import ConversionError, InputError
from pplcnet.exporting import onnx_rules
from pplcnet.exporting.export import export
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.models.catalog import CATALOG
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.runtime.checks.network import Sizes, check_network
from pplcnet.runtime.engines.onnxruntime import OnnxRuntimeEngine


def with_lively_statistics(model: keras.Model) -> keras.Model:
    generator = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            layer.gamma.assign(generator.uniform(0.5, 1.5, size))
            layer.beta.assign(generator.normal(0, 0.1, size))
            layer.moving_mean.assign(generator.normal(0, 0.1, size))
            layer.moving_variance.assign(generator.uniform(0.5, 1.5, size))
    return model


def _difference(model: keras.Model, batch: int | None, images: int) -> float:
    size = model.input.shape[1:3]
    preprocessing = Preprocessing(image_size=size)
    classes = tuple(f"c{n}" for n in range(model.output.shape[-1]))
    proto = to_onnx(model, Manifest(classes, preprocessing, {}), batch=batch)
    pixels = np.random.default_rng(1).integers(0, 256, (images, *size, 3), np.uint8)
    expected = model(preprocessing.normalize(pixels), training=False).numpy()
    content = proto.SerializeToString()
    check_network(content, ".onnx", Sizes(size, {"logits": (len(classes),)}))
    found = OnnxRuntimeEngine(content).run(pixels)["logits"]
    return float(np.abs(found - expected).max() / np.abs(expected).max())


ROWS = [
    *(name for name, row in CATALOG.items() if row.family == "pplcnet"),
    *{(row.family, row.variant): name for name, row in reversed(CATALOG.items())}.values(),
]


@pytest.mark.parametrize("name", dict.fromkeys(ROWS))
def test_every_network_answers_as_in_keras(name: str) -> None:
    # Some random GhostNets nearly cancel out to zero, which magnifies any rounding.
    keras.utils.set_random_seed(1)
    model = with_lively_statistics(build_model(name, num_classes=7, image_size=64))
    assert _difference(model, 1, 1) < 5e-5
    assert _difference(to_deploy_form(model), None, 2) < 5e-5


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
    assert _difference(with_lively_statistics(model), None, 3) < 5e-5


def test_the_graph_has_few_operators() -> None:
    model = build_model("pplcnet_x1_0", num_classes=5)
    proto = to_onnx(model, Manifest(tuple("abcde"), Preprocessing((224, 224)), {}), batch=1)
    counts = Counter(node.op_type for node in proto.graph.node)
    assert counts == {
        "Cast": 1, "Transpose": 1, "Sub": 1, "Conv": 32, "HardSwish": 28, "Clip": 2,
        "Relu": 2, "Mul": 2, "GlobalAveragePool": 3, "Flatten": 1, "Gemm": 1, "Identity": 1,
    }  # fmt: skip
    (given,) = proto.graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    shape = [each.dim_value for each in given.type.tensor_type.shape.dim]
    assert shape == [1, 224, 224, 3]


def test_the_file_alone_holds_labels_and_preprocessing(common_bundle: Path) -> None:
    proto = onnx.load(common_bundle / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    facts = {each.key: each.value for each in proto.metadata_props}
    bundle = Bundle.open(common_bundle)
    assert json.loads(facts["classes"]) == list(bundle.classes)
    again = Preprocessing.from_dict(json.loads(facts["preprocessing"]))
    assert again == bundle.manifest.preprocessing


def _sequential(*layers: keras.layers.Layer) -> keras.Model:
    features = inputs = keras.Input((8, 8, 3))
    for layer in layers:
        features = layer(features)
    return keras.Model(inputs, features)


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ([keras.layers.Conv2D(2, 1), keras.layers.UpSampling2D(name="up")], "'up' is a UpSampl"),
        ([keras.layers.Conv2D(2, 1, activation="gelu", name="odd")], "'odd' uses .*'gelu'"),
        ([keras.layers.BatchNormalization(name="bn")], "'bn' does not directly follow"),
        ([keras.layers.Conv2D(2, 3, dilation_rate=2, name="wide")], "'wide' is dilated"),
    ],
)
def test_what_the_exporter_does_not_know_is_named(layers: list, complaint: str) -> None:
    with pytest.raises(ConversionError, match=complaint):
        to_onnx(_sequential(*layers), Manifest(("a", "b"), Preprocessing((8, 8)), {}), batch=1)


def test_parity_on_real_pictures_stands_in_the_manifest(common_bundle: Path) -> None:
    parity = Bundle.open(common_bundle).variant("onnx")["parity"]
    assert parity["images"] == 36
    assert parity["agreement"] == 1.0
    logits = parity["outputs"]["logits"]
    assert 0 < logits["largest_difference"] <= 1e-4 * logits["largest"]


def test_a_failed_export_leaves_the_bundle_as_it_was(
    common_bundle: Path, common_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(common_bundle, tmp_path / "copy.bundle"))
    before = (copy / "manifest.json").read_text()
    monkeypatch.setattr(onnx_rules, "fold_batch_norm", lambda kernel, bias, norm: (kernel, bias))
    for layer_images in (list(find_images(common_photos)),):
        with pytest.raises(ConversionError, match="does not agree with Keras"):
            export(copy, layer_images)
    assert (copy / "manifest.json").read_text() == before
    Bundle.open(copy).verify()


def test_a_dynamic_batch_takes_any_number(
    common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(common_bundle, tmp_path / "copy.bundle"))
    bundle = export(copy, list(find_images(common_photos)), batch=None)
    engine = OnnxRuntimeEngine(bundle.read("model.onnx"))
    assert engine.batch_size is None
    assert engine.run(np.zeros((5, 32, 32, 3), np.uint8))["logits"].shape == (5, 3)


def test_export_needs_pictures_and_a_sensible_batch(common_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(common_bundle, tmp_path / "copy.bundle"))
    with pytest.raises(InputError, match="no photos"):
        export(copy, [])
    with pytest.raises(InputError, match="batch is 0"):
        export(copy, batch=0)
