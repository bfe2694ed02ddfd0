"""Which way of running a bundle is taken, with and without tuning."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.cli.main import main
from pplcnet.data.image_files import find_images
from pplcnet.errors import BundleError, InputError
from pplcnet.runtime import selection
from pplcnet.runtime.classifier import Classifier
from pplcnet.runtime.selection import DEFAULT, Choice, choices_of, choose
from pplcnet.system.processor import processor_name

OPENVINO = {"variant": "onnx", "engine": "openvino", "precision": "float32", "threads": 1}
ONNXRUNTIME = {"variant": "onnx", "engine": "onnxruntime", "precision": "float32", "threads": 2}


@pytest.fixture
def bundle(tmp_path: Path, common_bundle: Path) -> Bundle:
    return Bundle.open(shutil.copytree(common_bundle, tmp_path / "a.bundle"))


def _tuned(bundle: Bundle, processor: str, *ranking: dict[str, object]) -> Bundle:
    return update_bundle(bundle, tuning={processor: {"ranking": list(ranking)}})


def test_without_tuning_the_default_is_taken_and_nothing_said(bundle: Bundle) -> None:
    assert choose(bundle) == (DEFAULT, None, "")


def test_what_tuning_ranked_first_is_taken(bundle: Bundle) -> None:
    pytest.importorskip("openvino")
    tuned = _tuned(bundle, processor_name(), OPENVINO, ONNXRUNTIME)
    assert choose(tuned) == (Choice("onnx", "openvino", "float32"), 1, "")
    classifier = Classifier(tuned.path)
    assert classifier.choice.engine == "openvino"
    assert classifier.predict(next(iter(find_images(_photos(bundle))))).error is None


def _photos(bundle: Bundle) -> Path:
    return Path(bundle.manifest.provenance["dataset"]["photos"])


def test_an_engine_that_is_not_installed_is_passed_over(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = _tuned(bundle, processor_name(), OPENVINO, ONNXRUNTIME)
    monkeypatch.setattr(selection, "installed_engines", lambda: ["onnxruntime"])
    assert choose(tuned) == (DEFAULT, 2, "")


def test_on_another_processor_the_default_is_taken_and_tuning_advised(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = _tuned(bundle, "another processor, 64 cores", OPENVINO)
    choice, threads, advice = choose(tuned)
    assert (choice, threads) == (DEFAULT, None)
    assert "tuned on another processor" in advice
    assert f"pplcnet tune {tuned.path}" in advice
    assert main(["predict", str(tuned.path), str(_photos(bundle) / "class_0" / "000.png")]) == 0
    assert f"note: {advice}" in capsys.readouterr().err


def test_a_damaged_table_is_one_clear_error(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="tuning table has no 'engine'"):
        _tuned(bundle, processor_name(), {"variant": "onnx"})


def test_an_engine_and_a_precision_can_be_asked_for(bundle: Bundle) -> None:
    assert choose(bundle, engine="openvino").choice == ("onnx", "openvino", "float32")
    assert choose(bundle, precision="bfloat16").choice == ("onnx", "openvino", "bfloat16")
    with pytest.raises(InputError, match="cannot run as litert; it has onnxruntime float32"):
        choose(bundle, engine="litert")
    with pytest.raises(InputError, match="cannot run as int8"):
        choose(bundle, precision="int8")


def test_bfloat16_is_offered_where_the_processor_has_it(bundle: Bundle) -> None:
    engines = ["onnxruntime", "openvino"]
    plain = choices_of(bundle, engines, set())
    assert [str(each) for each in plain] == ["onnxruntime float32", "openvino float32"]
    assert [str(each) for each in choices_of(bundle, engines, {"avx512_bf16"})] == [
        "onnxruntime float32", "openvino float32", "openvino bfloat16",
    ]  # fmt: skip


def _with_int8(bundle: Bundle) -> Bundle:
    """The float32 network once more, called INT8: which way is taken depends on the name."""
    content = bundle.read("model.onnx")
    variant = {"file": "model.int8.onnx", "precision": "int8"}
    return update_bundle(bundle, files={"model.int8.onnx": content}, variants={"int8": variant})


def test_int8_that_is_asked_for_runs_in_the_engine_that_it_was_measured_in(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_int8 = _with_int8(bundle)
    assert choose(with_int8, precision="int8").choice == ("int8", "openvino", "int8")
    monkeypatch.setattr(selection, "installed_engines", lambda: ["onnxruntime"])
    assert choose(with_int8, precision="int8").choice == ("int8", "onnxruntime", "int8")


def test_what_is_asked_for_is_taken_as_tuning_ranked_it(bundle: Bundle) -> None:
    pytest.importorskip("openvino")
    tuned = _tuned(bundle, processor_name(), OPENVINO, ONNXRUNTIME)
    assert choose(tuned, precision="float32") == (Choice("onnx", "openvino", "float32"), 1, "")
    assert choose(tuned, engine="onnxruntime") == (DEFAULT, 2, "")


@pytest.mark.parametrize(
    "unknown", [{"precision": "int4"}, {"engine": "tvm"}, {"variant": "int8", "precision": "int8"}]
)
def test_a_row_that_cannot_run_here_is_passed_over(
    bundle: Bundle, unknown: dict[str, object]
) -> None:
    tuned = _tuned(bundle, processor_name(), OPENVINO | unknown, ONNXRUNTIME)
    assert choose(tuned) == (DEFAULT, 2, "")
    assert Classifier(tuned.path).choice == DEFAULT
