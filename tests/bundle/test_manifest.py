"""What a manifest may say, and that nothing else is believed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.errors import BundleError
from pplcnet.imaging.preprocessing import Preprocessing


def _manifest(**values: Any) -> Manifest:
    facts: dict = {
        "classes": ("cat", "dog"),
        "preprocessing": Preprocessing(image_size=(8, 8)),
        "network": {"name": "pplcnet_x0_25", "options": {"dropout": 0.2}},
        "variants": {
            "onnx": {
                "file": "model.onnx",
                "batch": 1,
                "precision": "float32",
                "figures": {"test": {"map": 0.5}},
            }
        },
        "files": {"model.onnx": {"sha256": "ab" * 32, "bytes": 7}},
        "outputs": {"logits": (2,), "embedding": (1280,)},
        "decoding": {"temperature": 1.5, "thresholds": {"cat": 0.25}},
        "calibration": {"error_before": 0.1, "images": 20},
        "task": "multilabel",
        "tuning": {
            "a processor": {
                "policy": "fast",
                "ranking": [
                    {"variant": "onnx", "engine": "openvino", "precision": "int8", "threads": 2}
                ],
            }
        },
        "provenance": {"mAP": math.nan},
    }
    return Manifest(**(facts | values))


def test_what_is_written_is_read() -> None:
    manifest = _manifest(provenance={"a": [1, 2.5, None]})
    assert Manifest.from_json(manifest.to_json(), "x") == manifest


def test_a_flipped_bit_is_refused_or_changes_nothing() -> None:
    manifest = _manifest(provenance={})
    text = manifest.to_json().encode()
    for at in range(len(text)):
        for bit in range(at % 2, 8, 2):
            changed = bytearray(text)
            changed[at] ^= 1 << bit
            try:
                read = Manifest.from_json(changed.decode(), "x")
            except (BundleError, UnicodeDecodeError):
                continue
            assert read == manifest, changed[max(0, at - 20) : at + 20]


def test_a_manifest_without_a_checksum_is_read_as_before() -> None:
    values = json.loads(_manifest(provenance={}).to_json())
    del values["checksum"]
    assert Manifest.from_json(json.dumps(values), "x") == _manifest(provenance={})


def test_a_manifest_edited_by_hand_says_how_to_keep_the_change() -> None:
    values = json.loads(_manifest(provenance={}).to_json())
    values["network"]["name"] = "another"
    with pytest.raises(BundleError, match=r"was edited.*delete its entry 'checksum'"):
        Manifest.from_json(json.dumps(values), "x")
    del values["checksum"]
    assert Manifest.from_json(json.dumps(values), "x").network["name"] == "another"


def test_another_layout_of_the_same_text_has_the_same_checksum() -> None:
    values = json.loads(_manifest(provenance={}).to_json())
    text = json.dumps(values, sort_keys=True, indent=None)
    assert Manifest.from_json(text, "x") == _manifest(provenance={})


DEEP: Any = 1
for _ in range(40):
    DEEP = [DEEP]

FAULTS: list[tuple[Callable[[dict], object], str]] = [
    (lambda v: v.update(checksun="0"), "unknown key 'checksun'"),
    (lambda v: v["preprocessing"].update(image_size=[8.0, 8.0]), "image_size"),
    (lambda v: v["preprocessing"].update(image_size=[True, True]), "image_size"),
    (lambda v: v["preprocessing"].update(image_size=[8]), "image_size"),
    (lambda v: v["preprocessing"].update(image_size=[16, 8]), "input does not fit"),
    (lambda v: v["preprocessing"].update(std=[1e-300, 1, 1]), "std is 1e-300"),
    (lambda v: v["preprocessing"].update(mean=[math.nan, 0, 0]), "mean is nan"),
    (lambda v: v["preprocessing"].update(crop_fraction=True), "crop_fraction is True"),
    (lambda v: v["preprocessing"].update(mean=0.5), "incomplete or wrong"),
    (lambda v: v["decoding"].update(temperature=5e-324), "temperature is 5e-324"),
    (lambda v: v["decoding"].update(temperature=math.nan), "temperature is nan"),
    (lambda v: v["decoding"].update(temperature=math.inf), "temperature is inf"),
    (lambda v: v["decoding"].update(temperature="1.5"), "temperature is 1.5"),
    (lambda v: v["decoding"].update(temperature=True), "temperature is True"),
    (lambda v: v["decoding"].update(temperature=10**400), "more than 64 bits"),
    (lambda v: v["decoding"]["thresholds"].update(cat=True), "threshold of 'cat' is True"),
    (lambda v: v["decoding"]["thresholds"].update(cat=math.nan), "threshold of 'cat' is nan"),
    (lambda v: v["decoding"]["thresholds"].update(cow=0.5), "'cow', which is no class"),
    (lambda v: v["decoding"].update(temperature={"cat": 1.5}), "temperature is {"),
    (lambda v: v["decoding"].update(thresholds=0.5), "thresholds must be an object"),
    (lambda v: v["decoding"].update(iou_threshold=math.nan), "iou_threshold is nan"),
    (lambda v: v["decoding"].update(iou_threshold=[0.5]), "iou_threshold is"),
    (lambda v: v["decoding"].update(confidence="x"), "confidence is x"),
    (lambda v: v["decoding"].update(confidence={"cat": 0.5}), "confidence is"),
    (lambda v: v["decoding"].update(score_threshold=1.5), r"score_threshold is 1\.5"),
    (lambda v: v["decoding"].update(most=0), "most is 0"),
    (lambda v: v.update(decoding=[]), "decoding must be an object"),
    (lambda v: v.update(task="Multi"), "task 'Multi'"),
    (lambda v: v.update(task=["multilabel"]), "task"),
    (lambda v: v.pop("task"), "incomplete or wrong"),
    (lambda v: v.pop("outputs"), "incomplete or wrong"),
    (lambda v: v.update(outputs=[]), "outputs must be a list of 1 to 16"),
    (lambda v: v.update(outputs=v["outputs"] * 9), "outputs must be a list of 1 to 16"),
    (lambda v: v.update(outputs=v["outputs"] * 2), "'logits' appears twice"),
    (lambda v: v["outputs"][1].update(name="a\x1b"), "an output has the name"),
    (lambda v: v["outputs"][1].update(name=7), "an output has the name '7'"),
    (lambda v: v["outputs"][1].update(shape=["N"]), "'embedding' has the shape"),
    (lambda v: v["outputs"][1].update(shape=["N", True]), "'embedding' has the shape"),
    (lambda v: v["outputs"][1].update(shape=["N", 0]), "'embedding' has the shape"),
    (lambda v: v["outputs"][1].update(shape=[1, 1280]), "'embedding' has the shape"),
    (lambda v: v["outputs"][1].update(shape=["N", 1 << 14, 1 << 15]), "'embedding' is too large"),
    (lambda v: v["outputs"][1].update(dtype="uint8"), "'embedding' is too large, or not float32"),
    (lambda v: v["variants"]["onnx"].update(figures=0.5), "figures of variant 'onnx'"),
    (lambda v: v.update(classes=["cat", "cat"]), "appears twice"),
    (lambda v: v.update(classes=["cat", ""]), "must be names"),
    (lambda v: v.update(classes=["cat", "d\x1b[2Jog"]), "control characters"),
    (lambda v: v.update(classes=["cat", "d\nog"]), "control characters"),
    (lambda v: v.update(classes=["cat", "dog", "cow"]), "output does not fit"),
    (lambda v: v.update(classes="cat"), "classes must be a list"),
    (lambda v: v["files"]["model.onnx"].update(bytes=-1), "allowed are up to"),
    (lambda v: v["files"]["model.onnx"].update(bytes=True), "allowed are up to"),
    (lambda v: v["files"]["model.onnx"].update(bytes=1 << 40), "allowed are up to"),
    (lambda v: v["files"]["model.onnx"].update(sha256="AB" * 32), "sha256"),
    (lambda v: v["files"].update({"a\\b": v["files"]["model.onnx"]}), "file name"),
    (lambda v: v["files"].update({"manifest.json": v["files"]["model.onnx"]}), "file name"),
    (lambda v: v["variants"]["onnx"].update(batch=0), "the batch '0'"),
    (lambda v: v["variants"]["onnx"].update(batch=1.0), r"the batch '1\.0'"),
    (lambda v: v["variants"]["onnx"].update(precision="int4"), "precision 'int4'"),
    (lambda v: v["variants"]["onnx"].update(file=["model.onnx"]), "incomplete or wrong"),
    (lambda v: v["tuning"]["a processor"].update(policy="faster"), "resize policy 'faster'"),
    (lambda v: v["tuning"]["a processor"]["ranking"][0].update(threads=1 << 20), "threads"),
    (lambda v: v["tuning"]["a processor"]["ranking"][0].update(threads=True), "threads"),
    (lambda v: v["tuning"]["a processor"].pop("ranking"), "incomplete or wrong"),
    (lambda v: v["network"].update(name=1), "network's name"),
    (lambda v: v["provenance"].update(deep=DEEP), "nested more than"),
    (lambda v: v["provenance"].update(dataset="x"), "the provenance's dataset must be an object"),
    (lambda v: v["provenance"].update(recipe=[1]), "the provenance's recipe must be an object"),
    (lambda v: v["provenance"].update(weights=1.5), "the provenance's weights must be an object"),
    (lambda v: v["provenance"].update(dataset={"photos": 7}), "photos is '7', not text"),
    (lambda v: v["provenance"].update(run=["a"]), "run is .*, not text"),
    (lambda v: v["provenance"].update(large=[-(10**400)]), "more than 64 bits"),
    (lambda v: v.update(format_version=True), "format version"),
    (lambda v: v.update(format_version=10**400), "install a newer"),
]


@pytest.mark.parametrize(("fault", "complaint"), FAULTS, ids=[each[1] for each in FAULTS])
def test_a_value_of_another_type_or_range_is_named(
    fault: Callable[[dict], object], complaint: str
) -> None:
    values = json.loads(_manifest().to_json())
    del values["checksum"]
    fault(values)
    with pytest.raises(BundleError, match=complaint):
        Manifest.from_json(json.dumps(values), "x")


def test_nesting_without_end_and_repeated_keys_are_refused() -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(BundleError, match="not readable JSON"):
            Manifest.from_json(text, "x")
    with pytest.raises(BundleError, match="'format' appears twice"):
        Manifest.from_json('{"format": 1, "format": "pplcnet bundle"}', "x")


def test_a_manifest_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.bundle"
    manifest = _manifest(files={}, task="classification", decoding={})
    write_bundle(path, manifest, {"model.onnx": b"network"})
    with pytest.raises(BundleError, match="control characters"):
        write_bundle(path, _manifest(classes=("a", "b\n"), decoding={}), {"model.onnx": b"2"})
    assert Bundle.open(path).read("model.onnx") == b"network"


def test_the_resize_policy_belongs_to_the_processor_that_was_tuned() -> None:
    manifest = _manifest()
    assert manifest.preprocessing_on("a processor").policy == "fast"
    assert manifest.preprocessing_on("another").policy == "exact"
    whole = Preprocessing(image_size=(8, 8), policy="fast")
    old = _manifest(preprocessing=whole, tuning={"a processor": {"ranking": []}})
    assert old.preprocessing_on("another").policy == "fast"
