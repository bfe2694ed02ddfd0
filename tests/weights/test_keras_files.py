"""Saved Keras models: loaded by Keras, converted to bundles, trained on from, and never trusted."""

from __future__ import annotations

import io
import json
import subprocess
import sys
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


@pytest.mark.parametrize(
    "lines",
    [
        "import pplcnet, keras",
        pytest.param("import keras, pplcnet", marks=pytest.mark.slow),
        pytest.param(
            "import pplcnet; from keras.models import load_model; import keras",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_keras_loads_our_models_whatever_is_imported_first(saved: Path, lines: str) -> None:
    code = f"{lines}\nprint(keras.models.load_model({str(saved)!r}).name, keras.__spec__.loader)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("pplcnet_x0_25")
    assert "SourceFileLoader" in ended.stdout  # the hook is gone


def test_checking_for_keras_does_not_load_it() -> None:
    code = (
        "import importlib.util, sys, pplcnet\n"
        "assert importlib.util.find_spec('keras') is not None\n"
        "assert importlib.util.find_spec('keras').origin.endswith('__init__.py')\n"
        "assert 'keras' not in sys.modules and 'numpy' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_convert_makes_a_bundle_that_predicts_like_the_model(
    model: keras.Model, saved: Path, common_photos: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "m.bundle"
    command = ["convert", str(saved), "--out", str(out), "--classes", "cat,dog,elk"]
    photo = common_photos / "class_0" / "000.png"
    assert main([*command, "--photos", str(photo)]) == 0
    printed = capsys.readouterr().out
    assert "assumed, as the file does not say" in printed
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
    with pytest.raises(InputError, match="is a bundle already"):
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


def _h5(fill: Callable[[h5py.File], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        held = file.create_group("layers/dense/vars")
        held.attrs["name"] = "fc"
        fill(held)
    return buffer.getvalue()


def _virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
    group.create_virtual_dataset("0", layout)


HOSTILE = {
    "700 million numbers": lambda g: g.create_dataset("0", (700_000_000,), "f4", chunks=(1000,)),
    "packed zeros": lambda g: g.create_dataset(
        "0", data=np.zeros(40_000_000, "f4"), compression="gzip", chunks=(4_000_000,)
    ),
    "external link": lambda g: g.__setitem__("0", h5py.ExternalLink("/etc/passwd", "x")),
    "soft link": lambda g: g.__setitem__("0", h5py.SoftLink("/layers")),
    "external storage": lambda g: g.create_dataset(
        "0", (4,), "f4", external=[("/etc/hostname", 0, 16)]
    ),
    "virtual": _virtual,
    "text": lambda g: g.create_dataset("0", data=["a", "b"], dtype=h5py.string_dtype()),
    "references": lambda g: g.create_dataset("0", (2,), h5py.ref_dtype),
    "a group": lambda g: g.create_group("0"),
    "a plugin's filter": lambda g: g.create_dataset(
        "0", data=np.zeros(4000, "f4"), compression="lzf", chunks=(1000,)
    ),
    "no numbers": lambda g: g.create_dataset("0", data=h5py.Empty("f4")),
    "itself": lambda g: g.__setitem__("layers", g.file["layers"]),
}


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
@pytest.mark.parametrize("name", HOSTILE)
def test_only_plain_numbers_inside_the_file_are_read(
    tmp_path: Path, name: str, ending: str
) -> None:
    content, path = _h5(HOSTILE[name]), tmp_path / f"m{ending}"
    if ending == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", content)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"not accepted as a Keras file|not a readable Keras"):
        read_weights(path)


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
def test_a_configuration_is_never_built(saved: Path, tmp_path: Path, config: object) -> None:
    with zipfile.ZipFile(saved) as good, zipfile.ZipFile(tmp_path / "m.keras", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, json.dumps(config) if name == "config.json" else good.read(name))
    assert read_weights(tmp_path / "m.keras").network is None
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


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u1", "bfloat16"])
def test_every_type_that_keras_writes_is_read(tmp_path: Path, dtype: str) -> None:
    numbers = np.array([[1, 2, 3], [4, 5, 64]])

    def fill(group: h5py.Group) -> None:
        if dtype == "bfloat16":
            # h5py, and so Keras, stores them as opaque pairs of bytes.
            data = (numbers.astype("f4").view("u4") >> 16).astype("u2").view("V2")
            group.create_dataset("0", data=data).attrs["dtype"] = dtype
        else:
            group.create_dataset("0", data=numbers.astype(dtype))
        for at in range(1, 40):  # more than a node of the group's tree holds
            group.create_dataset(str(at), data=np.zeros(0, "f4"))

    (tmp_path / "m.weights.h5").write_bytes(_h5(fill))
    found = read_weights(tmp_path / "m.weights.h5").tensors
    np.testing.assert_array_equal(found["fc.kernel"], numbers)
    assert len(found) == 40
