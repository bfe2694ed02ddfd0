"""A run's folder, and an exported `.onnx` file alone, are opened like a bundle."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import BundleError, PPLCNetError
from pplcnet.runtime.classifier import Classifier


def _changed(bundle: Path, target: Path, **metadata: str | None) -> Path:
    model = onnx.load(bundle / "model.onnx")
    kept = {each.key: each.value for each in model.metadata_props} | metadata
    del model.metadata_props[:]
    onnx.helper.set_model_props(
        model, {key: each for key, each in kept.items() if each is not None}
    )
    onnx.save(model, target)
    return target


@pytest.fixture
def photo(common_photos: Path) -> Path:
    return common_photos / "class_1" / "003.png"


def test_a_runs_folder_is_its_bundle(common_bundle: Path, photo: Path, tmp_path: Path) -> None:
    run = tmp_path / "first"
    shutil.copytree(common_bundle, run / "model.bundle")
    expected = Classifier(common_bundle).predict(photo).logits
    for given in (run, str(run), run / "model.bundle"):
        np.testing.assert_array_equal(Classifier(given).predict(photo).logits, expected)
    assert Bundle.open(run).path == run / "model.bundle"
    with Bundle.open_to_change(run) as bundle:
        assert bundle.path == run / "model.bundle"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_onnx_file_alone_answers_as_its_bundle(
    common_bundle: Path, photo: Path, tmp_path: Path, engine: str
) -> None:
    pytest.importorskip(engine)
    alone = shutil.copy(common_bundle / "model.onnx", tmp_path / "Flowers.ONNX")
    whole, network = Classifier(common_bundle, engine=engine), Classifier(alone, engine=engine)
    assert network.classes == whole.classes
    assert network.thresholds is None
    np.testing.assert_array_equal(network.predict(photo).logits, whole.predict(photo).logits)
    assert "Flowers" in repr(network)
    assert "not calibrated" in network.advice


@pytest.mark.parametrize(
    "metadata",
    [
        {"task": None, "output": "logits: float32 (N, classes), before sigmoid"},
        {"task": "multilabel"},
    ],
    ids=["0.1", "0.2"],
)
def test_a_multi_label_network_keeps_its_task(
    common_bundle: Path, photo: Path, tmp_path: Path, metadata: dict
) -> None:
    network = Classifier(_changed(common_bundle, tmp_path / "x.onnx", **metadata))
    assert network.thresholds == (0.5, 0.5, 0.5)
    assert "thresholds are all 0.5" in network.advice
    assert network.predict(photo).probabilities.sum() != pytest.approx(1)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"classes": None}, "no 'classes' in its metadata"),
        ({"preprocessing": None}, "no 'preprocessing' in its metadata"),
        ({"classes": '["a", "b"]'}, r"'logits' \(3,\); the manifest says 'logits' \(2,\)"),
        ({"classes": "[1, 2, 3]"}, "class"),
        ({"classes": "3"}, "cannot be read"),
        ({"task": "poetry"}, "unknown task 'poetry'"),
        ({"classes": "{"}, "cannot be read|JSON"),
        ({"preprocessing": "[" * 100_000}, "cannot be read"),
        ({"preprocessing": '{"image_size": [1e9, 2]}'}, "image_size"),
        ({"preprocessing": '{"image_size": 3}'}, "cannot be read"),
    ],
)
def test_wrong_metadata_is_one_clear_error(
    common_bundle: Path, photo: Path, tmp_path: Path, metadata: dict, said: str
) -> None:
    path = _changed(common_bundle, tmp_path / "x.onnx", **metadata)
    with pytest.raises(BundleError, match=said) as caught:
        Classifier(path).predict(photo)
    assert "\n" not in str(caught.value)


def test_what_is_no_network_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        Classifier(tmp_path / "absent.onnx")
    for name, content in (("empty", b""), ("text", b"hello"), ("zeros", bytes(5000))):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(PPLCNetError):
            Classifier(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.onnx")
        with pytest.raises(BundleError):
            Classifier(tmp_path / "pipe.onnx")


def test_the_metadata_is_what_the_exporter_writes(common_bundle: Path) -> None:
    manifest = Bundle.open(common_bundle).manifest
    alone = Classifier(common_bundle / "model.onnx").manifest
    assert alone.preprocessing == manifest.preprocessing
    assert json.loads(alone.to_json())["input"] == json.loads(manifest.to_json())["input"]
