"""INT8 with its guard: what is measured, kept and refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import ConversionError, InputError
from pplcnet.exporting import quantization
from pplcnet.exporting.export import export
from pplcnet.exporting.quantization import quantize
from pplcnet.exporting.tuning import tune
from pplcnet.runtime.classifier import Classifier

pytest.importorskip("nncf", reason="INT8 needs the quantize extra")
pytestmark = pytest.mark.usefixtures("quantized_once")


def test_an_int8_network_is_added_with_its_figures(bundle: Path, turned: Dataset) -> None:
    before = Bundle.open(bundle).manifest
    quantized = quantize(bundle, turned, max_drop=1.0)
    variant = quantized.variant("int8")
    assert variant["method"] == "post-training quantisation"
    assert variant["accuracy"]["images"] == len(turned)
    assert variant["accuracy"]["float32_top1"] > 0.9  # the classes are in the bundle's order
    assert 0 <= variant["accuracy"]["agreement"] <= 1
    assert quantized.manifest.variants["onnx"] == before.variants["onnx"]
    model = onnx.load_from_string(quantized.read("model.int8.onnx"))
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    weights = {each.name: each for each in model.graph.initializer}
    # A quantised kernel has another name; one in float keeps its own.
    assert "blocks6_1_pw_conv_conv.weight" not in weights
    assert "blocks6_1_dw_conv_conv.weight" in weights
    assert "fc.weight" in weights
    classifier = Classifier(bundle, precision="int8")
    assert str(classifier.choice) == "openvino int8"


@pytest.mark.slow
def test_layers_go_back_to_float_when_too_much_is_lost(
    bundle: Path, validation: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ranges of black images cut off everything that photos have.
    black = tmp_path / "black.png"
    Image.new("RGB", (40, 40)).save(black)
    monkeypatch.setattr(quantization, "VALIDATION_LIMIT", 24)
    lines: list[str] = []
    quantized = quantize(bundle, validation, calibration=[black], max_drop=0.0, report=lines.append)
    variant = quantized.variant("int8")
    assert variant["method"].endswith("with accuracy control")
    assert variant["accuracy"]["images"] == 24
    assert variant["accuracy"]["drop"] <= 0.0
    assert any("finding out which layers must stay in float" in line for line in lines)


@pytest.mark.parametrize("drop", [0.5, float("nan")])
def test_what_loses_too_much_is_refused_and_the_bundle_left(
    drop: float, bundle: Path, validation: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"images": 9, "float32_top1": 1.0, "top1": 0.5, "drop": drop, "lost": "top-1"}
    monkeypatch.setattr(quantization, "measure_int8", lambda *given: {**figures, "agreement": 0.5})
    # Accuracy control that finds no way.
    monkeypatch.setattr(quantization, "control_accuracy", lambda content, *given: content)
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(ConversionError, match=r"loses (0\.5000|nan) of top-1 on 9 validation"):
        quantize(bundle, validation)
    assert (bundle / "manifest.json").read_bytes() == before


def test_a_network_of_any_batch_is_not_quantised(
    bundle: Path, validation: Dataset, tmp_path: Path
) -> None:
    export(bundle, batch=None)
    with pytest.raises(InputError, match="takes any batch"):
        quantize(bundle, validation)
    eight = export(shutil.copytree(bundle, tmp_path / "b.bundle"), batch=8)
    for function in (quantize, tune):
        with pytest.raises(InputError, match="takes 8 images at once"):
            function(eight, validation)
    for path in (bundle, eight.path):
        outputs = Classifier(path).run(np.zeros((3, 32, 32, 3), np.uint8))
        assert np.isfinite(outputs["logits"]).all()
