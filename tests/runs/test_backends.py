"""The main job on every Keras backend that is installed here, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pplcnet
from pplcnet.bundle.bundle import Bundle
from pplcnet.data.shapes import SHAPES, write_shapes
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


DETECTOR = (
    *("--model", "picodet_x0_25", "--image-size", "64", "--weights", "none", "--epochs", "4"),
    *("--batch-size", "4", "--set", "multi_scale=0", "--set", "learning_rate=0.1"),
    *("--set", "optimizer=sgd", "--set", "weight_decay=0.0004"),
)


def begin(backend: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pplcnet", *words],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_detector_that_was_killed_ends_with_the_weights_of_one_that_was_not(
    backend: str, tmp_path: Path
) -> None:
    photos, whole, cut = (tmp_path / name for name in ("photos", "whole", "cut"))
    assert write_shapes(photos, 16) > 16
    with begin(backend, "train", str(photos), "--out", str(cut), *DETECTOR) as process:
        end = time.monotonic() + 900
        while not (cut / "history.csv").exists() and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.kill()  # in the second epoch, the last before cells get objects by TAL
    assert process.returncode == -signal.SIGKILL
    assert not (cut / "model.bundle").exists()
    resume = ("train", str(photos), "--out", str(cut), "--resume")
    for command in (resume, ("train", str(photos), "--out", str(whole), *DETECTOR)):
        with begin(backend, *command) as process:
            said, _ = process.communicate(timeout=900)
        assert process.returncode == 0, said
    one, other = (Bundle.open(each / "model.bundle") for each in (whole, cut))
    other.verify()
    assert other.classes == SHAPES
    assert other.manifest.provenance["versions"]["backend"] == backend
    assert other.variant("onnx")["parity"]["agreement"] == 1
    with np.load(one.path / "weights.npz") as first, np.load(other.path / "weights.npz") as second:
        assert first.files == second.files
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    found = pplcnet.Detector(cut).predict(next(photos.rglob("*.jpg")))
    assert found.error is None
