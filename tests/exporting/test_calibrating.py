"""calibrate: new thresholds remove what was judged by the previous answers, and say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.cli.export import report_dropped
from pplcnet.data.dataset import Dataset
from pplcnet.exporting.calibrating import calibrate
from pplcnet.imaging.preprocessing import Preprocessing
from tests.conftest import draw_image
from tests.runtime.networks import small_network

TUNING = {"a processor": {"policy": "fast", "ranking": []}}


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    """Six photos with the labels a, b, both or none."""
    lines = ["path,a,b"]
    for number in range(6):
        draw_image(number, 0).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{number % 2},{number // 3}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return Dataset.open(tmp_path / "labels.csv")


def _bundle(folder: Path) -> Bundle:
    content = small_network().SerializeToString()
    manifest = Manifest(
        classes=("a", "b"),
        task="multilabel",
        preprocessing=Preprocessing(image_size=(8, 8)),
        network={"name": "pplcnet_x0_25", "options": {}},
        variants={
            "onnx": {"file": "model.onnx", "batch": 1},
            "int8": {"file": "model.int8.onnx", "batch": 1, "precision": "int8"},
        },
        tuning=TUNING,
    )
    files = {"model.onnx": content, "model.int8.onnx": content}
    return write_bundle(folder / "x.bundle", manifest, files)


def test_new_thresholds_drop_int8_and_the_tuning_and_say_so(
    tmp_path: Path, photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _bundle(tmp_path).manifest
    after = calibrate(tmp_path / "x.bundle", photos).manifest
    assert set(after.decoding["thresholds"]) == {"a", "b"}
    assert set(after.variants) == {"onnx"}
    assert after.tuning == {}
    assert not (tmp_path / "x.bundle" / "model.int8.onnx").exists()
    report_dropped(before, after, "judged by the previous answers")
    assert capsys.readouterr().out == (
        "removed     model.int8.onnx and the tuning, which were judged by the previous answers; "
        "'pplcnet quantize' and 'pplcnet tune' make them again\n"
    )


def test_the_same_thresholds_keep_int8_and_the_tuning(tmp_path: Path, photos: Dataset) -> None:
    _bundle(tmp_path)
    first = calibrate(tmp_path / "x.bundle", photos).manifest
    path = tmp_path / "y.bundle"
    content = small_network().SerializeToString()
    variants = {**first.variants, "int8": {"file": "int8.onnx", "precision": "int8"}}
    manifest = Manifest(**{**vars(first), "variants": variants, "tuning": TUNING})
    write_bundle(path, manifest, {"model.onnx": content, "int8.onnx": content})
    again = calibrate(path, photos).manifest
    assert again.decoding == first.decoding
    assert set(again.variants) == {"onnx", "int8"}
    assert again.tuning == TUNING


def test_classes_in_another_order_are_put_into_the_bundles(bundle: Path, turned: Dataset) -> None:
    assert calibrate(bundle, turned).manifest.calibration["images"] == len(turned)
