"""The main job on every Keras backend that is installed here, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.runtime.classifier import Classifier

pytestmark = pytest.mark.slow

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed here"
        ),
    )
    for name in ("tensorflow", "jax", "torch")
]


def train(backend: str, photos: Path, out: Path, *settings: str) -> str:
    sets = [word for each in settings for word in ("--set", each)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pplcnet", "train", str(photos), "--out", str(out)),
            *("--model", "pplcnet_x0_25", "--image-size", "32", "--batch-size", "8"),
            *("--epochs", "2", *sets),
        ],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_in_16_bits_ends_with_a_verified_bundle(
    backend: str, common_photos: Path, tmp_path: Path
) -> None:
    train(backend, common_photos, tmp_path / "run", "precision=mixed_bfloat16")
    bundle = Bundle.open(tmp_path / "run" / "model.bundle")
    bundle.verify()
    assert bundle.manifest.provenance["versions"]["backend"] == backend
    logits = bundle.variant("onnx")["parity"]["outputs"]["logits"]
    assert logits["largest_difference"] <= 1e-5 * logits["largest"]
    assert Classifier(bundle.path).predict(next(common_photos.rglob("*.png"))).best.label
