"""Bundles of manifest format 1 are read, and answer as when they were made."""

from __future__ import annotations

import csv
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pplcnet
from tests.bundle.reference import PROCESSOR, machine, weights_digest

FOLDER = Path(__file__).parent / "format_1"
KINDS = ("classification", "multilabel")
TOLERANCE = 1e-6
"""On another processor or ONNX Runtime, relative to the largest value."""

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "expected.npz") as file:
        return dict(file)


@pytest.fixture
def expected(kind: str, recorded: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    mine = f"{kind}_"
    return {name.removeprefix(mine): each for name, each in recorded.items() if mine in name}


@pytest.fixture
def path(kind: str) -> Path:
    return FOLDER / f"{kind}.zip"


@pytest.fixture
def is_same_machine(recorded: dict[str, np.ndarray]) -> bool:
    return str(recorded["machine"]) == machine()


def assert_same(actual: np.ndarray, expected: np.ndarray, *, is_exact: bool) -> None:
    if is_exact:
        np.testing.assert_array_equal(actual, expected)
    else:
        largest = float(np.abs(expected).max())
        np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * largest)


def test_it_is_of_format_1_and_holds_what_a_run_leaves(path: Path, kind: str) -> None:
    with zipfile.ZipFile(path) as archive:
        values = json.loads(archive.read("manifest.json"))
    assert values["format_version"] == 1
    manifest = pplcnet.Bundle.open(path).manifest
    assert set(manifest.variants) == {"keras", "onnx", "int8"}
    assert manifest.temperature == values["calibration"]["temperature"] != 1
    assert manifest.provenance == values["provenance"]
    assert manifest.provenance["recipe"]["model"] == "pplcnet_x0_25"
    assert list(manifest.classes) == values["classes"]
    assert list(manifest.tuning) == [PROCESSOR]
    if kind == "multilabel":
        assert len(values["thresholds"]) == len(manifest.classes)
        cuts = tuple(values["thresholds"][name] for name in manifest.classes)
        assert pplcnet.Classifier(path).thresholds == cuts
        assert 0.5 not in cuts
    else:
        assert pplcnet.Classifier(path).thresholds is None


def test_checksums_hold(path: Path) -> None:
    pplcnet.Bundle.open(path).verify()


def test_it_answers_as_recorded(
    path: Path, expected: dict[str, np.ndarray], is_same_machine: bool
) -> None:
    classifier = pplcnet.Classifier(path, threads=1)
    answers = [classifier.predict(image) for image in expected["images"]]
    many = list(classifier.predict_many(list(expected["images"])))
    for found in (answers, many):
        logits = np.stack([each.logits for each in found])
        assert logits.dtype == np.float32
        assert_same(logits, expected["logits"], is_exact=is_same_machine)
        probabilities = np.stack([each.probabilities for each in found])
        assert_same(probabilities, expected["probabilities"], is_exact=is_same_machine)
        labels = [";".join(each.label for each in answer.labels) for answer in found]
        assert labels == expected["labels"].tolist()
        top = [[each.label for each in answer.top(3)] for answer in found]
        assert top == expected["top"].tolist()


def test_a_data_set_is_evaluated_as_recorded(
    path: Path, kind: str, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    classifier = pplcnet.Classifier(path, threads=1)
    rows = []
    for number, (image, truth) in enumerate(
        zip(expected["images"], expected["truth"], strict=True)
    ):
        Image.fromarray(image).save(tmp_path / f"{number:03d}.png")
        cells = [str(truth)] if kind == "classification" else [str(each) for each in truth]
        rows.append([f"{number:03d}.png", *cells])
    columns = ["label"] if kind == "classification" else classifier.classes
    with (tmp_path / "photos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", *columns], *rows])
    figures = pplcnet.evaluate(classifier, pplcnet.Dataset.open(tmp_path / "photos.csv")).figures()
    names = ("top1", "macro_f1") if kind == "classification" else ("map", "macro_f1")
    for name in names:
        assert figures[name] == pytest.approx(float(expected[name]), abs=1e-9)


def test_the_keras_model_comes_back_with_its_weights(
    path: Path, expected: dict[str, np.ndarray]
) -> None:
    bundle = pplcnet.Bundle.open(path)
    model = pplcnet.restore_model(bundle)
    assert weights_digest(model) == str(expected["weights"])
    preprocessing = bundle.manifest.preprocessing
    pixels = np.stack([preprocessing(image) for image in expected["images"]])
    logits = model.predict(preprocessing.normalize(pixels), verbose=0)
    largest = float(np.abs(expected["logits"]).max())
    np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=1e-4 * largest)


def test_packed_again_or_unpacked_it_is_the_same(
    path: Path, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    bundle = pplcnet.Bundle.open(path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked.bundle")
    unpacked = pplcnet.Bundle.open(tmp_path / "unpacked.bundle")
    again = pplcnet.Bundle.open(unpacked.pack(tmp_path / "again.zip"))
    before = pplcnet.Classifier(path, threads=1).predict(expected["images"][0])
    for other in (unpacked, again):
        other.verify()
        assert other.manifest == bundle.manifest
        for name in bundle.manifest.files:
            assert other.read(name) == bundle.read(name)
        after = pplcnet.Classifier(other.path, threads=1).predict(expected["images"][0])
        np.testing.assert_array_equal(after.logits, before.logits)
        assert after.labels == before.labels


def test_its_tuning_is_used_on_that_processor(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = pplcnet.Bundle.open(path)
    tuned = bundle.manifest.tuning[PROCESSOR]
    assert bundle.manifest.preprocessing_on(PROCESSOR).policy == tuned["policy"]
    assert bundle.manifest.preprocessing_on("another").policy == "exact"
    elsewhere = pplcnet.Classifier(path)
    assert elsewhere.choice == ("onnx", "onnxruntime", "float32")
    assert "tuned on another processor" in elsewhere.advice

    for name, module in list(sys.modules.items()):
        if name.startswith("pplcnet.") and "processor_name" in vars(module):
            monkeypatch.setattr(module, "processor_name", lambda: PROCESSOR)
    ranked = [(row["variant"], row["engine"], row["precision"]) for row in tuned["ranking"]]
    for engine in dict.fromkeys(engine for _, engine, _ in ranked):
        pytest.importorskip(engine)
    classifier = pplcnet.Classifier(path)
    assert tuple(classifier.choice) in ranked
    assert not classifier.advice
