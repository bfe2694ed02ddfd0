"""Saved Keras models: converted to bundles, trained on from, and never trusted."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.errors import InputError, WeightsError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.runtime.classifier import Classifier
from pplcnet.weights import native
from pplcnet.weights.bundled import restore_model
from pplcnet.weights.conversion import convert
from pplcnet.weights.files import read_weights
from pplcnet.weights.loading import load_into, load_pretrained

pytestmark = pytest.mark.usefixtures("shallow_networks")

CLASSES = ["cat", "dog", "elk"]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    # Trained a little, so that no statistic is the one that it starts with.
    for name, variable in ((each.path, each) for each in model.variables):
        if "moving" in name:
            variable.assign(variable + 0.1)
    return model


@pytest.fixture(scope="module")
def saved(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "m.keras"
    model.save(path)
    return path


def test_convert_makes_a_bundle_that_predicts_like_the_model(
    model: keras.Model, saved: Path, common_photos: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "m.bundle"
    command = ["convert", str(saved), "--out", str(out), "--classes", "cat,dog,elk"]
    photo = common_photos / "class_0" / "000.png"
    assert main([*command, "--photos", str(photo)]) == 0
    printed = capsys.readouterr().out
    assert "assumed, because the file does not specify" in printed
    assert "parity" in printed
    manifest = Bundle.open(out).manifest
    assert manifest.classes == tuple(CLASSES)
    pre = manifest.preprocessing
    assert (pre.resize, pre.interpolation, pre.image_size) == (
        "stretch", "opencv-bilinear", (32, 32),
    )  # fmt: skip
    logits = model(pre.normalize(pre(photo)[np.newaxis]), training=False).numpy()[0].astype(float)
    wanted = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(Classifier(out).predict(photo).probabilities, wanted, atol=1e-5)


def test_convert_without_photos_names_the_next_command(saved: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "m.bundle"
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nelk\n")
    command = ["convert", str(saved), "--out", str(out), "--classes", str(names)]
    assert main([*command, "--mean", "0", "0", "0", "--std", "1", "1", "1"]) == 0
    assert f"pplcnet export {out} --photos PHOTOS" in capsys.readouterr().out
    assert Bundle.open(out).manifest.preprocessing.std == (1, 1, 1)


def test_layers_around_the_network_go_into_the_bundle(model: keras.Model, tmp_path: Path) -> None:
    layers = keras.layers
    for name, behind, task in (
        ("soft", layers.Softmax(), "classification"),
        ("sig", layers.Activation("sigmoid"), "multilabel"),
    ):
        whole = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                layers.RandomFlip(),
                layers.Rescaling(1 / 127.5, -1),
                model,
                behind,
            ]
        )
        whole.save(tmp_path / f"{name}.keras")
        bundle = convert(tmp_path / f"{name}.keras", tmp_path / f"{name}.bundle", classes=CLASSES)
        assert bundle.manifest.task == task
        pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
        logits = restore_model(bundle)(bundle.manifest.preprocessing.normalize(pixels))
        inner = model(pixels.astype(np.float32) / 127.5 - 1, training=False)
        np.testing.assert_allclose(logits, inner, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="scales its own input"):
        convert(
            tmp_path / "sig.keras", tmp_path / "x.bundle", classes=CLASSES,
            preprocessing={"mean": (0, 0, 0)},
        )  # fmt: skip


def test_softmax_on_the_logits_is_left_out(model: keras.Model, tmp_path: Path) -> None:
    probabilities = keras.layers.Softmax()(model.output)
    keras.Model(model.input, probabilities, name="mine").save(tmp_path / "m.keras")
    with pytest.raises(InputError, match="name it with --model"):
        convert(tmp_path / "m.keras", tmp_path / "m.bundle", classes=CLASSES)
    bundle = convert(
        tmp_path / "m.keras", tmp_path / "m.bundle", classes=CLASSES, network="pplcnet_x0_25"
    )
    for name, value in native.get_values(restore_model(bundle)).items():
        np.testing.assert_array_equal(value, native.get_values(model)[name])


def _add_dense(model: keras.Model) -> keras.Model:
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, keras.layers.Dense(3, name="mine")(model(inputs)))


def _change_a_layer(model: keras.Model) -> keras.Model:
    config = json.loads(model.to_json())
    for layer in config["config"]["layers"]:
        if layer["config"]["name"] == "blocks3_0_dw_conv_bn":
            layer["config"]["epsilon"] = 0.1
    return keras.models.model_from_json(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_add_dense, "has the layer Dense 'mine' around pplcnet_x0_25"),
        (_change_a_layer, r"differs from .*\n  blocks3_0_dw_conv_bn: epsilon is 0.1"),
        (lambda _: keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]), "name it with"),
    ],
)
def test_a_model_that_is_not_in_the_catalog_is_refused(
    model: keras.Model, tmp_path: Path, change: Callable, complaint: str
) -> None:
    change(model).save(tmp_path / "m.keras")
    with pytest.raises((WeightsError, InputError), match=complaint):
        convert(tmp_path / "m.keras", tmp_path / "m.bundle", classes=CLASSES)
    assert not (tmp_path / "m.bundle").exists()


def test_convert_needs_the_names_of_the_classes(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 classes without names; pass them with --classes"):
        convert(saved, tmp_path / "m.bundle")
    bundle = convert(saved, tmp_path / "m.bundle", classes=CLASSES)
    with pytest.raises(InputError, match="is already a bundle"):
        convert(bundle.path, tmp_path / "n.bundle", classes=CLASSES)


def test_other_classes_get_a_random_head(model: keras.Model, saved: Path) -> None:
    other = build_model("pplcnet_x0_25", num_classes=5, image_size=32)
    before = native.get_values(other)
    (line,) = load_pretrained(other, saved)
    assert line.endswith("no matching weights: fc")
    after, trained = native.get_values(other), native.get_values(model)
    np.testing.assert_array_equal(after["fc.kernel"], before["fc.kernel"])
    np.testing.assert_array_equal(after["last_conv.kernel"], trained["last_conv.kernel"])
    with pytest.raises(WeightsError, match="holds weights of pplcnet_x0_25, not of pplcnet_x0_35"):
        load_pretrained(build_model("pplcnet_x0_35", num_classes=3, image_size=32), saved)


def test_weights_h5_are_read(model: keras.Model, tmp_path: Path) -> None:
    model.save_weights(tmp_path / "m.weights.h5")
    other = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    load_into(other, tmp_path / "m.weights.h5")
    for name, value in native.get_values(model).items():
        np.testing.assert_array_equal(native.get_values(other)[name], value)


@pytest.mark.parametrize(
    "config",
    [
        {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "x"}},
        {"class_name": "Functional", "config": {"layers": [{"class_name": "Lambda"}] * 20}},
        {"class_name": "Functional", "config": {"layers": 3}},
        {"class_name": "Sequential", "config": None},
        {"class_name": ["Functional"], "config": {}},
        [1],
        "text",
    ],
)
def test_a_configuration_is_never_built(
    model: keras.Model, saved: Path, tmp_path: Path, config: object
) -> None:
    with zipfile.ZipFile(saved) as good, zipfile.ZipFile(tmp_path / "m.keras", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, json.dumps(config) if name == "config.json" else good.read(name))
    found = read_weights(tmp_path / "m.keras")
    assert found.network is None
    assert found.tensors.keys() == native.get_values(model).keys()
    with pytest.raises(InputError, match="name it with --model"):
        convert(tmp_path / "m.keras", tmp_path / "m.bundle", classes=CLASSES)


def test_an_older_h5_model_says_what_to_do(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_group("model_weights")
    with pytest.raises(WeightsError, match=r"load it with Keras and save it as \.keras"):
        read_weights(tmp_path / "m.h5")


def test_wrong_preprocessing_is_one_clear_error(saved: Path, tmp_path: Path, capsys) -> None:
    command = ["convert", str(saved), "--out", str(tmp_path / "b"), "--classes", "a,b,c"]
    assert main([*command, "--std", "0", "1", "1"]) == 2
    assert main([*command, "--crop-fraction", "nan"]) == 2
    assert main([*command[:-1], "a,b"]) == 2
    assert main([*command[:-1], "absent"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4
    assert all(line.startswith("error: ") for line in errors)


def test_a_whole_preprocessing_can_be_given(saved: Path, tmp_path: Path) -> None:
    pre = Preprocessing(image_size=(48, 48))
    bundle = convert(saved, tmp_path / "m.bundle", classes=CLASSES, preprocessing=pre)
    assert bundle.manifest.preprocessing == pre
