"""export: the ONNX variant of a bundle, its parity, and what is left of a bundle that fails."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.image_files import find_images
from pplcnet.errors import ConversionError, InputError
from pplcnet.exporting import onnx_rules
from pplcnet.exporting.export import export
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.engines.onnxruntime import OnnxRuntimeEngine
from pplcnet.system.processor import processor_name


def test_the_file_alone_holds_labels_and_preprocessing(common_bundle: Path) -> None:
    proto = onnx.load(common_bundle / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    facts = {each.key: each.value for each in proto.metadata_props}
    bundle = Bundle.open(common_bundle)
    assert json.loads(facts["classes"]) == list(bundle.classes)
    again = Preprocessing.from_dict(json.loads(facts["preprocessing"]))
    assert again == bundle.manifest.preprocessing


def test_parity_on_real_images_stands_in_the_manifest(common_bundle: Path) -> None:
    parity = Bundle.open(common_bundle).variant("onnx")["parity"]
    assert parity["images"] == 36
    assert parity["agreement"] == 1.0
    logits = parity["outputs"]["logits"]
    assert 0 < logits["largest_difference"] <= 1e-4 * logits["largest"]


def test_a_failed_export_leaves_the_bundle_as_it_was(
    bundle: Path, common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (bundle / "manifest.json").read_text()
    monkeypatch.setattr(onnx_rules, "fold_batch_norm", lambda kernel, bias, norm: (kernel, bias))
    with pytest.raises(ConversionError, match="does not agree with Keras"):
        export(bundle, list(find_images(common_photos)))
    assert (bundle / "manifest.json").read_text() == before
    Bundle.open(bundle).verify()


def test_a_process_that_builds_in_16_bits_exports_in_float32(
    bundle: Path, common_photos: Path
) -> None:
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        exported = export(bundle, list(find_images(common_photos)))
    finally:
        keras.config.set_dtype_policy(before)
    logits = exported.variant("onnx")["parity"]["outputs"]["logits"]
    assert logits["largest_difference"] <= 1e-5 * logits["largest"]


def test_a_dynamic_batch_takes_any_number(bundle: Path, common_photos: Path) -> None:
    exported = export(bundle, list(find_images(common_photos)), batch=None)
    engine = OnnxRuntimeEngine(exported.read("model.onnx"))
    assert engine.batch_size is None
    assert engine.run(np.zeros((5, 32, 32, 3), np.uint8))["logits"].shape == (5, 3)


def test_export_needs_images_and_a_sensible_batch(bundle: Path) -> None:
    with pytest.raises(InputError, match="no photos"):
        export(bundle, [])
    with pytest.raises(InputError, match="batch is 0"):
        export(bundle, batch=0)


def test_a_new_export_removes_what_was_made_from_the_previous_one(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    update_bundle(
        opened,
        files={"model.int8.onnx": opened.read("model.onnx")},
        variants={"int8": {"file": "model.int8.onnx", "precision": "int8"}},
        tuning={processor_name(): {"ranking": []}},
    )
    exported = export(bundle)
    assert set(exported.manifest.variants) == {"keras", "onnx"}
    assert exported.manifest.tuning == {}
    assert set(exported.manifest.files) == {"weights.npz", "model.onnx"}
