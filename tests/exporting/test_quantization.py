"""INT8 with its guard, and tuning: what is measured, kept, refused and chosen."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.errors import BundleError, ConversionError, InputError
from pplcnet.exporting import quantization, tuning
from pplcnet.exporting.calibrating import calibrate
from pplcnet.exporting.images import evenly_chosen, match_validation
from pplcnet.exporting.quantization import quantize
from pplcnet.exporting.timing import Latency
from pplcnet.exporting.tuning import Resizing, Row, _ranked, tune
from pplcnet.runtime.classifier import Classifier
from pplcnet.runtime.selection import Choice
from pplcnet.system.processor import processor_name
from tests.conftest import write_photos

pytest.importorskip("nncf", reason="INT8 needs the quantize extra")


@pytest.fixture
def bundle(tmp_path: Path, common_bundle: Path) -> Path:
    return Path(shutil.copytree(common_bundle, tmp_path / "a.bundle"))


@pytest.fixture(autouse=True)
def _quick_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast anything is, is not tested: a turn each will do."""
    monkeypatch.setattr(tuning, "ROUNDS", 1)


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory, common_bundle: Path) -> Path:
    """Photos labelled with what the network, which is random, answers: it is always right."""
    folder = tmp_path_factory.mktemp("validation")
    photos = write_photos(folder / "drawn", each=10)
    labelled = folder / "validation"
    answers = {
        path: prediction.best.label
        for path, prediction in zip(
            sorted(photos.rglob("*.png")),
            Classifier(common_bundle).predict_many(sorted(photos.rglob("*.png"))),
            strict=True,
        )
    }
    for label in ("class_0", "class_1", "class_2"):
        (labelled / label).mkdir(parents=True)
        # A class that the network never answers still has to be there.
        shutil.copy(photos / label / "000.png", labelled / label / "given.png")
    for path, label in answers.items():
        shutil.copy(path, labelled / label / f"{path.parent.name}_{path.name}")
    return labelled


def test_an_int8_network_is_added_with_its_figures(bundle: Path, validation: Path) -> None:
    before = Bundle.open(bundle).manifest
    quantized = quantize(bundle, Dataset.open(validation), max_drop=1.0)
    variant = quantized.variant("int8")
    assert variant["method"] == "post-training quantisation"
    assert variant["accuracy"]["images"] == len(Dataset.open(validation))
    assert 0 <= variant["accuracy"]["agreement"] <= 1
    assert quantized.manifest.variants["onnx"] == before.variants["onnx"]
    model = onnx.load_from_string(quantized.read("model.int8.onnx"))
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    weights = {each.name: each for each in model.graph.initializer}
    # A quantised kernel has another name; one in float keeps its own.
    assert "blocks6_1_pw_conv_conv.weight" not in weights
    assert "blocks6_1_dw_conv_conv.weight" in weights
    assert "fc.weight" in weights
    classifier = Classifier(bundle, precision="int8")
    assert str(classifier.choice) == "openvino int8"


def test_layers_go_back_to_float_when_too_much_is_lost(
    bundle: Path, validation: Path, tmp_path: Path
) -> None:
    # Ranges of black pictures cut off everything that photos have.
    black = tmp_path / "black.png"
    Image.new("RGB", (40, 40)).save(black)
    lines: list[str] = []
    quantized = quantize(
        bundle, Dataset.open(validation), calibration=[black], max_drop=0.0, report=lines.append
    )
    variant = quantized.variant("int8")
    assert variant["method"].endswith("with accuracy control")
    assert variant["accuracy"]["drop"] <= 0.0
    assert any("trying which layers have to stay in float" in line for line in lines)


def test_what_loses_too_much_is_refused_and_the_bundle_left(
    bundle: Path, validation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hopeless(nncf, model, *_: object) -> bytes:
        # What accuracy control would return if it found no way: the classifier's bias is gone.
        for each in model.graph.initializer:
            if each.name == "fc.weight":
                values = -onnx.numpy_helper.to_array(each)
                each.CopyFrom(onnx.numpy_helper.from_array(values, each.name))
        return model.SerializeToString()

    monkeypatch.setattr(quantization, "_with_accuracy_control", hopeless)
    real = quantization._figures
    monkeypatch.setattr(
        quantization, "_figures", lambda *given: real(*given) | {"drop": 0.5, "top1": 0.5}
    )
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(ConversionError, match=r"loses 0\.5000 of top-1 on \d+ validation images"):
        quantize(bundle, Dataset.open(validation))
    assert (bundle / "manifest.json").read_bytes() == before


def test_tuning_measures_everything_and_the_classifier_takes_the_best(
    bundle: Path, validation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--validation", str(validation), "--max-drop", "1"]
    assert main(["quantize", str(bundle), *given]) == 0
    assert "pplcnet tune" in capsys.readouterr().out
    assert main(["tune", str(bundle), *given]) == 0
    printed = capsys.readouterr().out
    facts = Bundle.open(bundle).manifest.tuning[processor_name()]
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
    assert "fast resize off" in printed
    assert main(["tune", str(bundle), *given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["max_drop"] == 1


def test_export_throws_away_what_belongs_to_the_network_before(bundle: Path) -> None:
    from pplcnet.exporting.export import export

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


def test_fast_resize_is_switched_on_only_when_asked_for_and_harmless(
    bundle: Path, validation: Path
) -> None:
    photos = Dataset.open(validation)
    tuning = tune(bundle, photos, fast_resize=True)
    # PNG files of nearly the input's size: nothing is decoded otherwise, little resized.
    assert tuning.is_fast_resize == tuning.resizing.is_harmless(0.005)
    policy = Bundle.open(bundle).manifest.preprocessing.policy
    assert policy == ("fast" if tuning.is_fast_resize else "exact")
    tune(bundle, photos)
    assert Bundle.open(bundle).manifest.preprocessing.policy == "exact"
    assert Resizing(1.0, 0.9, 0.899).is_harmless(0.005)
    assert not Resizing(0.99, 0.9, 0.9).is_harmless(0.005)
    assert not Resizing(1.0, 0.9, 0.89).is_harmless(0.005)


@pytest.mark.parametrize("function", [quantize, tune, calibrate])
def test_validation_classes_in_another_order_are_put_into_the_bundles(
    function, bundle: Path, validation: Path
) -> None:
    photos = Dataset.open(validation)
    turned = Dataset(
        photos.root,
        photos.classes[::-1],
        tuple(replace(each, label=2 - each.label) for each in photos.images),
    )
    matched = match_validation(Bundle.open(bundle), turned)
    assert (matched.classes, matched.images) == (photos.classes, photos.images)
    if function is calibrate:
        assert function(bundle, turned).manifest.calibration["images"] == len(photos)
    elif function is tune:
        assert tune(bundle, turned, max_drop=1.0).resizing.exact_accuracy > 0.9
    else:
        manifest = quantize(bundle, turned, max_drop=1.0).manifest
        assert manifest.variants["int8"]["accuracy"]["float32_top1"] > 0.9


@pytest.mark.parametrize("module", [quantization, tuning])
def test_at_most_so_many_validation_photos_are_in_memory(
    module, bundle: Path, validation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "VALIDATION_LIMIT", 7)
    photos = Dataset.open(validation)
    if module is quantization:
        manifest = quantize(bundle, photos, max_drop=1.0).manifest
        assert manifest.variants["int8"]["accuracy"]["images"] == 7
    else:
        facts = tune(bundle, photos, max_drop=1.0).bundle.manifest.tuning[processor_name()]
        assert facts["validation_images"] == 7


def _row(precision: str, ms: float, rate: float, verdict: str = "") -> Row:
    choice = Choice("onnx", "openvino", precision)
    return Row(choice, 0.9, 1.0, 0.0, Latency(ms, ms), 1, rate, verdict)


def test_a_lower_precision_that_is_not_faster_is_not_used() -> None:
    float32, int8 = _row("float32", 1.0, 1000), _row("int8", 0.99, 1005)
    ranked = _ranked([int8, float32])
    assert [row.choice.precision for row in ranked] == ["float32", "int8"]
    assert ranked[1].verdict.startswith("not used")
    faster = _row("int8", 0.6, 1800)
    assert _ranked([float32, faster])[0] == faster
    wrong = _row("bfloat16", 0.1, 9000, "loses 0.1 of top-1")
    assert _ranked([wrong, float32, faster]) == [faster, float32, wrong]


@pytest.mark.parametrize("function", [quantize, tune])
def test_wrong_input_is_named(function, bundle: Path, validation: Path, tmp_path: Path) -> None:
    photos = Dataset.open(validation)
    with pytest.raises(InputError, match="max_drop is 2"):
        function(bundle, photos, max_drop=2)
    others = Dataset.open(write_photos(tmp_path / "others", classes=2))
    with pytest.raises(InputError, match="the bundle has class_0, class_1, class_2"):
        function(bundle, others)
    opened = Bundle.open(bundle)
    keras_only = replace(opened.manifest, variants={"keras": opened.variant("keras")})
    (bundle / "manifest.json").write_text(keras_only.to_json())
    with pytest.raises(BundleError, match="pplcnet export"):
        function(bundle, photos)


def test_a_network_of_any_batch_is_not_quantised(
    bundle: Path, validation: Path, tmp_path: Path
) -> None:
    from pplcnet.exporting.export import export

    export(bundle, batch=None)
    with pytest.raises(InputError, match="takes any batch"):
        quantize(bundle, Dataset.open(validation))
    eight = export(shutil.copytree(bundle, tmp_path / "b.bundle"), batch=8)
    for function in (quantize, tune):
        with pytest.raises(InputError, match="takes 8 images at once"):
            function(eight, Dataset.open(validation))
    assert np.isfinite(Classifier(bundle).run(np.zeros((3, 32, 32, 3), np.uint8))["logits"]).all()


@pytest.mark.parametrize("function", [quantize, tune, calibrate])
def test_a_packed_bundle_is_refused_before_the_work(
    function, bundle: Path, validation: Path, tmp_path: Path
) -> None:
    packed = Bundle.open(bundle).pack(tmp_path / "a.zip")
    with pytest.raises(BundleError, match="unpack it into a folder first"):
        function(packed, Dataset.open(validation))


@pytest.mark.parametrize(("count", "limit"), [(599, 300), (300, 300), (7, 300), (3999, 2000)])
def test_photos_are_chosen_from_the_first_to_the_last_class(count: int, limit: int) -> None:
    chosen = evenly_chosen(range(count), limit)
    assert len(chosen) == len(set(chosen)) == min(count, limit)
    assert chosen[0] == 0
    assert chosen[-1] >= count - 1 - count // limit
