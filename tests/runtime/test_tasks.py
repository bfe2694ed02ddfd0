"""A model predicts for a bundle of any task; a Classifier is for those of classifiers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pplcnet
from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.cli.main import main
from pplcnet.errors import BundleError, ImageError, InputError
from pplcnet.imaging.geometry import Geometry
from pplcnet.runtime import model as runtime_model
from pplcnet.runtime import network as runtime_network
from pplcnet.tasks import find
from pplcnet.tasks.task import Outputs, Prediction, Task


def _decoder(manifest: Any) -> Any:
    def decode(outputs: Outputs, geometry: Geometry, source: str) -> Prediction:
        seen.append((outputs["logits"].shape, geometry))
        return Prediction(source)

    return decode


seen: list[tuple[Any, Geometry]] = []


@pytest.fixture
def sizes_task(monkeypatch: pytest.MonkeyPatch) -> Task[Any]:
    """A task whose predictions have no classes, in place of classification."""
    task = replace(find("classification"), name="sizes", prediction=Prediction, decoder=_decoder)
    monkeypatch.setattr(runtime_model, "find", lambda name: task)
    monkeypatch.setattr(runtime_network, "task_of", lambda manifest, bundle: task)
    seen.clear()
    return task


def test_load_opens_a_bundle_of_any_task(common_bundle: Path, common_photos: Path) -> None:
    photo = common_photos / "class_0" / "000.png"
    with pplcnet.load(common_bundle, threads=1) as model, pplcnet.Classifier(common_bundle) as own:
        assert type(model) is pplcnet.Model
        np.testing.assert_allclose(
            model.predict(photo).logits, own.predict(photo).logits, rtol=1e-4, atol=1e-5
        )
        assert repr(model).startswith("<Model pplcnet_x0_25 32x32, 3 classes, onnxruntime float32")


def test_a_classifier_is_for_predictions_with_classes(
    common_bundle: Path, sizes_task: Task[Any]
) -> None:
    with pytest.raises(InputError, match=r"its task is sizes, .*open it with pplcnet\.load"):
        pplcnet.Classifier(common_bundle)


def test_the_decoder_is_told_where_the_pixels_come_from(
    common_bundle: Path, sizes_task: Task[Any]
) -> None:
    model = pplcnet.load(common_bundle, threads=1)
    image = np.zeros((40, 80, 3), np.uint8)
    placed = model.manifest.preprocessing.place(image)
    assert placed.geometry.size == (80, 40)
    assert type(model.predict(image)) is Prediction
    assert type(model.submit(image).result()) is Prediction
    assert [type(each) for each in model.predict_many([image])] == [Prediction]
    assert seen == [((3,), placed.geometry)] * 3
    (broken,) = model.predict_many([b"no image"])
    assert type(broken) is Prediction
    assert broken.error is not None


def test_submit_answers_beside_other_images_and_keeps_its_threads(
    common_bundle: Path, common_photos: Path
) -> None:
    photos = sorted(common_photos.rglob("*.png"))
    with pplcnet.Classifier(common_bundle, threads=2) as classifier:
        expected = [each.logits for each in classifier.predict_many(photos)]
        for _ in range(2):
            futures = [classifier.submit(photo) for photo in photos]
            for future, logits, photo in zip(futures, expected, photos, strict=True):
                assert future.result().source == str(photo)
                np.testing.assert_allclose(future.result().logits, logits, rtol=1e-4, atol=1e-5)
        with pytest.raises(ImageError):
            classifier.submit(b"no image").result()
        last = classifier.submit(photos[0])
    assert last.result().error is None
    with pytest.raises(InputError, match="this Classifier is closed"):
        classifier.submit(photos[0])


def test_an_unknown_task_is_an_error_that_names_it(common_bundle: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(common_bundle, tmp_path / "x.bundle"))
    values = json.loads((path / "manifest.json").read_text())
    del values["checksum"]
    (path / "manifest.json").write_text(json.dumps(values | {"task": "poetry"}))
    with pytest.raises(BundleError, match=r"unknown task 'poetry'.* A newer pplcnet may know it"):
        pplcnet.load(path)


def test_what_the_task_does_not_decode_with_is_refused(common_bundle: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(common_bundle, tmp_path / "x.bundle"))
    update_bundle(Bundle.open(path), decoding={"thresholds": {"class_0": 0.3}})
    with pytest.raises(BundleError, match=r"has thresholds, which the task 'classification' does"):
        pplcnet.load(path)


@pytest.mark.parametrize("verb", ["report", "calibrate", "quantize", "tune", "export"])
def test_every_verb_names_the_bundle_of_an_unknown_task(
    capsys, common_bundle: Path, common_photos: Path, tmp_path: Path, verb: str
) -> None:
    path = Path(shutil.copytree(common_bundle, tmp_path / "x.bundle"))
    values = json.loads((path / "manifest.json").read_text())
    del values["checksum"]
    (path / "manifest.json").write_text(json.dumps(values | {"task": "poetry"}))
    out = ["--out", str(tmp_path / "page.html")] if verb == "report" else []
    assert main([verb, str(path), "--photos", str(common_photos), *out]) == 2
    assert f"error: {path}: unknown task 'poetry'" in capsys.readouterr().err


def test_outputs_that_the_task_needs_have_to_be_there(common_bundle: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(common_bundle, tmp_path / "x.bundle"))
    update_bundle(Bundle.open(path), outputs={"scores": (3,)})
    with pytest.raises(BundleError, match=r"its outputs are .'scores'.* needs .'logits'"):
        pplcnet.load(path)
