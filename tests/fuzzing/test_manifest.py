"""manifest.json, mutated: read as something that was checked, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks.multilabel.decoding import thresholds_of
from tests.fuzzing.harness import fuzz


def read(path: Path) -> None:
    folder = path.with_name("fuzzed.bundle")
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_bytes(path.read_bytes())
    manifest = Bundle.open(folder).manifest
    assert manifest.temperature > 0
    assert len(thresholds_of(manifest)) == len(manifest.classes)
    for processor in manifest.tuning:
        manifest.preprocessing_on(processor)
    assert Manifest.from_json(manifest.to_json(), "again").classes == manifest.classes


@pytest.mark.slow
def test_mutated_manifests_are_read_or_refused(tmp_path: Path) -> None:
    manifest = Manifest(
        classes=("cat", "dog"),
        preprocessing=Preprocessing(image_size=(8, 8)),
        network={"name": "pplcnet_x0_25", "options": {"dropout": 0.2}},
        variants={"onnx": {"file": "model.onnx", "batch": 1, "precision": "float32"}},
        files={"model.onnx": {"sha256": "ab" * 32, "bytes": 7}},
        decoding={"temperature": 1.5, "thresholds": {"cat": 0.25}},
        task="multilabel",
        tuning={
            "cpu": {
                "policy": "fast",
                "ranking": [
                    {"variant": "onnx", "engine": "openvino", "precision": "int8", "threads": 2}
                ],
            }
        },
    )
    whole = manifest.to_json()
    values = json.loads(whole)
    del values["checksum"]
    seeds = {"whole": whole, "older": json.dumps(values)}
    tokens = [b"NaN", b"1e999", b"true", b"null", b"[[", b'{"', b"-1", b"\\ud800", b"9" * 40]
    tokens += [f'"{name}"'.encode() for name in values]
    fuzz(read, {name: text.encode() for name, text in seeds.items()}, tmp_path, tokens=tokens)
