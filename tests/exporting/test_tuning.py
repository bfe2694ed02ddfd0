"""tune: the table in the bundle, what a classifier takes of it, and the resize policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.exporting import int8_search, tuning
from pplcnet.exporting.int8_ways import WAYS
from pplcnet.exporting.tuning import Resizing, tune
from pplcnet.runtime.classifier import Classifier
from pplcnet.system.processor import processor_name

pytestmark = pytest.mark.usefixtures("quick_timing")


def test_tuning_measures_everything_and_the_classifier_takes_the_best(
    bundle: Path,
    validation_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("nncf", reason="INT8 needs the quantize extra")
    monkeypatch.setattr(int8_search, "WAYS", WAYS[:2])
    given = ["--validation", str(validation_folder), "--max-drop", "1"]
    assert main(["quantize", str(bundle), *given, "--keep-slower"]) == 0
    printed = capsys.readouterr().out
    assert "is added to the bundle." in printed
    facts = Bundle.open(bundle).manifest.tuning[processor_name()]
    tried = {trial["way"] for trial in facts["int8_ways"]}
    assert tried == {"", *(way.name for way in WAYS[:2])}
    assert [t["verdict"] for t in facts["int8_ways"]].count("chosen") == 1
    ways = {(row["engine"], row["precision"]) for row in facts["rows"]}
    assert {
        ("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "int8"),
        ("onnxruntime", "int8"),
    } <= ways  # fmt: skip
    for row in facts["rows"]:
        assert row["engine"] in printed
        assert row["median_ms"] > 0
        assert row["images_per_second"] > 0
        if row["precision"] == "float32":
            assert row["agreement"] == 1.0
    best = facts["ranking"][0]
    classifier = Classifier(bundle)
    assert classifier.choice == (best["variant"], best["engine"], best["precision"])
    assert classifier.advice == ""
    assert Bundle.open(bundle).manifest.preprocessing.policy == "exact"
    assert "fast resize" not in printed
    assert main(["tune", str(bundle), *given, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["max_drop"] == 1
    assert again["int8_ways"] == facts["int8_ways"]


def test_fast_resize_is_switched_on_only_when_asked_for_and_harmless(
    bundle: Path, turned: Dataset
) -> None:
    tuned = tune(bundle, turned, fast_resize=True)
    assert tuned.resizing is not None
    assert tuned.resizing.exact_accuracy > 0.9  # the classes are in the bundle's order
    # PNG files of nearly the input's size: nothing is decoded otherwise, little resized.
    assert tuned.is_fast_resize == tuned.resizing.is_harmless(0.005)
    policy = Bundle.open(bundle).manifest.preprocessing.policy
    assert policy == ("fast" if tuned.is_fast_resize else "exact")
    tune(bundle, turned)
    assert Bundle.open(bundle).manifest.preprocessing.policy == "exact"


def test_fast_resize_is_harmless_when_answers_and_accuracy_hold() -> None:
    assert Resizing(1.0, 0.9, 0.899).is_harmless(0.005)
    assert not Resizing(0.99, 0.9, 0.9).is_harmless(0.005)
    assert not Resizing(1.0, 0.9, 0.89).is_harmless(0.005)


def test_at_most_so_many_validation_photos_are_in_memory(
    bundle: Path, validation: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "VALIDATION_LIMIT", 7)
    facts = tune(bundle, validation, max_drop=1.0).bundle.manifest.tuning[processor_name()]
    assert facts["validation_images"] == 7
