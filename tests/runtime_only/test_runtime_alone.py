"""The runtime where no training framework is installed: `make test-runtime` runs this there."""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pplcnet
from pplcnet.cli.main import main
from tests.serving.servers import serving

FRAMEWORKS = ("keras", "tensorflow", "torch", "jax", "onnx", "matplotlib", "sklearn")
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) for name in FRAMEWORKS),
    reason="a training framework is installed here; 'make test-runtime' runs these without",
)


@pytest.fixture(scope="module")
def bundle() -> Path:
    return Path(os.environ["PPLCNET_TEST_BUNDLE"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for number in range(5):
        pixels = generator.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg")
    return tmp_path


def test_the_answer_is_that_of_keras(bundle: Path) -> None:
    classifier = pplcnet.Classifier(bundle)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    expected = classifier.manifest.provenance["keras_logits"]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(classifier.run(image)["logits"][0], expected, rtol=1e-4, atol=1e-5)


def test_predict_inspect_and_models(bundle: Path, folder: Path, capsys) -> None:
    assert main(["predict", str(bundle), str(folder), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(json.loads(line)["path"]).name for line in lines] == [f"{n}.jpg" for n in range(5)]
    assert main(["inspect", str(bundle)]) == 0
    assert main(["models"]) == 0


def test_serve_answers_as_predict_does(bundle: Path, folder: Path) -> None:
    content = (folder / "0.jpg").read_bytes()
    with serving(bundle, "--workers", 1, "--drain", 0) as server:
        answer = server.post("/v1/classify", content)
        assert answer.json["predictions"] == pplcnet.Classifier(bundle).predict(content).rows()
        assert server.stop() == 0


def test_evaluation_works_without_a_framework(bundle: Path, folder: Path, capsys) -> None:
    for name in ("cat", "dog"):
        (folder / "data" / name).mkdir(parents=True)
    for number in range(4):
        target = folder / "data" / ("cat", "dog")[number % 2] / f"{number}.jpg"
        (folder / f"{number}.jpg").rename(target)
    dataset = pplcnet.Dataset.from_folder(folder / "data")
    assert pplcnet.evaluate(pplcnet.Classifier(bundle), dataset).images == 4
    assert main(["evaluate", str(bundle), str(folder / "data"), "--out", str(folder / "e")]) == 0
    printed = capsys.readouterr()
    assert "top-1" in printed.out
    assert "no plot was drawn: that needs matplotlib" in printed.err
    assert {path.name for path in (folder / "e").iterdir()} == {
        "evaluation.md", "evaluation.json", "per_class.csv", "confusion.csv", "mistakes.csv",
    }  # fmt: skip


@pytest.mark.parametrize("verb", ["train", "distill", "suspects", "export", "quantize", "demo"])
def test_training_verbs_name_the_command_that_installs_what_they_need(
    verb: str, bundle: Path, folder: Path, capsys
) -> None:
    unpacked = folder / "tiny.bundle"
    zipfile.ZipFile(bundle).extractall(unpacked)
    arguments = {
        "train": [str(folder), "--out", str(folder / "run")],
        "distill": [str(folder), "--teacher", str(unpacked), "--out", str(folder / "run")],
        "suspects": [str(folder), "--out", str(folder / "suspects")],
        "export": [str(unpacked)],
        "quantize": [str(unpacked), "--calibration", str(folder), "--validation", str(folder)],
        "demo": ["--out", str(folder / "demo")],
    }
    assert main([verb, *arguments[verb]]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "pip install 'pplcnet[" in error


def test_a_training_name_says_what_it_needs() -> None:
    with pytest.raises(pplcnet.PPLCNetError, match=r"pip install 'pplcnet\[train\]'"):
        pplcnet.create_model  # noqa: B018
