"""What a manifest of format 1 may say, and what it becomes in format 2."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import update_bundle
from pplcnet.errors import BundleError
from pplcnet.runtime.classifier import Classifier

FOLDER = Path(__file__).parent / "format_1"


def _values(kind: str) -> dict[str, Any]:
    with zipfile.ZipFile(FOLDER / f"{kind}.zip") as archive:
        values = json.loads(archive.read("manifest.json"))
    del values["checksum"]
    assert isinstance(values, dict)
    return values


def test_it_becomes_format_2() -> None:
    manifest = Manifest.from_json(json.dumps(_values("multilabel")), "x")
    before = _values("multilabel")
    assert manifest.task == "multilabel"
    assert manifest.outputs == {"logits": (3,)}
    assert manifest.decoding == {"temperature": 3.6736, "thresholds": before["thresholds"]}
    onnx = manifest.variants["onnx"]
    assert onnx["figures"]["test"]["map"] == before["variants"]["onnx"]["test_map"]
    assert onnx["figures"]["test"]["images"] == 24
    assert manifest.variants["keras"]["figures"] == {"validation": {"map": 0.7826}}
    parity = before["variants"]["onnx"]["parity"]
    assert onnx["parity"]["agreement"] == parity["labels_agreement"]
    assert onnx["parity"]["outputs"]["logits"]["largest"] == parity["largest_logit"]
    assert json.loads(manifest.to_json())["format_version"] == 2
    assert Manifest.from_json(manifest.to_json(), "x") == manifest


def test_the_first_manifests_name_neither_task_nor_output() -> None:
    values = _values("classification")
    for name in ("task", "output", "calibration"):
        del values[name]
    manifest = Manifest.from_json(json.dumps(values), "x")
    assert manifest.task == "classification"
    assert manifest.outputs == {"logits": (3,)}
    assert manifest.decoding == {}


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_changed_bundle_is_written_in_format_2(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "x.bundle"
    with zipfile.ZipFile(FOLDER / f"{kind}.zip") as archive:
        archive.extractall(folder)
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    expected = Classifier(folder).predict(image)
    update_bundle(Bundle.open(folder), provenance={"note": "changed"})
    assert json.loads((folder / "manifest.json").read_text())["format_version"] == 2
    after = Classifier(folder).predict(image)
    np.testing.assert_array_equal(after.probabilities, expected.probabilities)
    assert after.labels == expected.labels
    Bundle.open(folder).verify()


FAULTS: list[tuple[Callable[[dict], object], str]] = [
    (lambda v: v.update(outputs=[]), "unknown key 'outputs'"),
    (lambda v: v["calibration"].update(temperature=5e-324), "temperature is 5e-324"),
    (lambda v: v["calibration"].update(temperature=math.nan), "temperature is nan"),
    (lambda v: v["calibration"].update(temperature="1.5"), "temperature is 1.5"),
    (lambda v: v["calibration"].update(temperature=True), "temperature is True"),
    (lambda v: v["calibration"].update(temperature=10**400), "more than 64 bits"),
    (lambda v: v.update(calibration=[]), "calibration must be an object"),
    (lambda v: v["thresholds"].update(red=True), "threshold of 'red' is True"),
    (lambda v: v["thresholds"].update(red=math.nan), "threshold of 'red' is nan"),
    (lambda v: v["thresholds"].update(cow=0.5), "'cow', which is no class"),
    (lambda v: v.update(thresholds=0.5), "thresholds must be an object"),
    (lambda v: v.update(task="single"), "'single' with thresholds"),
    (lambda v: v.update(task="classification"), "task 'classification'"),
    (lambda v: v.update(task=["multi"]), "task"),
    (lambda v: v.update(classes=["blue", "green"]), "output does not fit"),
    (lambda v: v.update(classes=3), "incomplete or wrong"),
    (lambda v: v.update(variants=[]), "incomplete or wrong"),
    (lambda v: v["variants"].update(onnx=[]), "incomplete or wrong"),
    (lambda v: v["variants"]["onnx"].update(parity={"top1_agreement": 1}), "incomplete or wrong"),
    (lambda v: v["preprocessing"].update(image_size=[16, 8]), "input does not fit"),
]


@pytest.mark.parametrize(("fault", "complaint"), FAULTS, ids=[each[1] for each in FAULTS])
def test_a_wrong_value_is_named(fault: Callable[[dict], object], complaint: str) -> None:
    values = _values("multilabel")
    fault(values)
    with pytest.raises(BundleError, match=complaint):
        Manifest.from_json(json.dumps(values), "x")
