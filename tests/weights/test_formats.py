"""Every kind of weights file gives the same network, and no kind can do harm."""

from __future__ import annotations

import io
import json
import pickle
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.errors import WeightsError
from pplcnet.models import pplcnet as family
from pplcnet.models.variables import value_of
from pplcnet.weights.bundled import restore_model
from pplcnet.weights.files import read_weights
from pplcnet.weights.loading import load_into, load_pretrained
from pplcnet.weights.mapping import load_state_dict
from pplcnet.weights.pretrained import create_model
from tests.conformance import reference
from tests.weights.pdmodel import write_pdmodel

INFERENCE = "reference/paddle_files/PPLCNet_x0_25_17classes_infer"


@pytest.fixture(scope="module")
def original(shared: Path) -> reference.Reference:
    return reference.load(shared, "pplcnet_x0_25")


def _timm_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state dict as timm's `lcnet` would hold it."""
    inside = {"dw_conv.conv": "conv_dw", "dw_conv.bn": "bn1", "pw_conv.conv": "conv_pw",
              "pw_conv.bn": "bn2", "se.conv1": "se.conv_reduce",
              "se.conv2": "se.conv_expand"}  # fmt: skip
    outside = {"conv1.conv": "conv_stem", "conv1.bn": "bn1", "last_conv": "conv_head",
               "fc": "classifier"}  # fmt: skip
    parts = {"_mean": "running_mean", "_variance": "running_var"}
    named = {}
    for key, tensor in tensors.items():
        path, _, part = key.rpartition(".")
        if path in outside:
            name = outside[path]
        else:
            stage, block, rest = path.split(".", 2)
            at, number = int(stage[-1]) - 2, int(block)
            if stage == "blocks5":
                at, number = (3, number) if number < 2 else (4, number - 2)
            elif stage == "blocks6":
                at = 5
            name = f"blocks.{at}.{number}.{inside[rest]}"
        named[f"{name}.{parts.get(part, part)}"] = tensor.T.copy() if key == "fc.weight" else tensor
    named["bn1.num_batches_tracked"] = np.array(5)
    named["conv_head.bias"] = np.zeros(1280, "float32")
    return named


def _transformers_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state dict as transformers' PPLCNetForImageClassification would hold it."""
    inside = {"dw_conv.conv": "depthwise_convolution.convolution",
              "dw_conv.bn": "depthwise_convolution.normalization",
              "pw_conv.conv": "pointwise_convolution.convolution",
              "pw_conv.bn": "pointwise_convolution.normalization",
              "se.conv1": "squeeze_excitation_module.convolutions.0",
              "se.conv2": "squeeze_excitation_module.convolutions.2"}  # fmt: skip
    outside = {"conv1.conv": "encoder.convolution.convolution",
               "conv1.bn": "encoder.convolution.normalization",
               "last_conv": "last_convolution", "fc": "head"}  # fmt: skip
    parts = {"_mean": "running_mean", "_variance": "running_var"}
    named = {}
    for key, tensor in tensors.items():
        path, _, part = key.rpartition(".")
        if path in outside:
            name = outside[path]
        else:
            stage, block, rest = path.split(".", 2)
            name = f"encoder.blocks.{int(stage[-1]) - 2}.layers.{block}.{inside[rest]}"
        named[f"{name}.{parts.get(part, part)}"] = tensor.T.copy() if key == "fc.weight" else tensor
    return named


def _write(kind: str, original: reference.Reference, shared: Path, folder: Path) -> Path:
    tensors = original.weights()
    if kind == "inference.json":
        return shared / INFERENCE / kind
    if kind == "pdmodel":
        return write_pdmodel(folder / "inference.pdmodel", tensors)
    path = folder / {"timm": "t.safetensors", "transformers": "h.safetensors", "npz": "w.npz",
                     "keras": "w.keras"}[kind]  # fmt: skip
    if kind == "timm":
        path.write_bytes(save(_timm_names(tensors)))
    elif kind == "transformers":
        path.write_bytes(save(_transformers_names(tensors)))
    elif kind == "npz":
        np.savez(path, **tensors)
    else:
        model = create_model("pplcnet_x0_25", num_classes=17)
        load_state_dict(model, tensors, "the reference")
        model.save(path)
    return path


@pytest.mark.parametrize(
    "kind", ["inference.json", "pdmodel", "timm", "transformers", "npz", "keras"]
)
def test_every_kind_gives_the_originals_logits(
    kind: str, original: reference.Reference, shared: Path, tmp_path: Path
) -> None:
    path = _write(kind, original, shared, tmp_path)
    # timm's files are of networks that do not scale by the dropout rate; this one's original does.
    options = {"dropout": 0.2} if kind == "timm" else {}
    model = create_model("pplcnet_x0_25", num_classes=17, weights=path, **options)
    logits = model(reference.images(224, 224), training=False).numpy()
    expected = original.outputs["logits_224x224"]
    assert reference.relative_difference(logits, expected) <= 1e-4


@pytest.mark.parametrize("kind", ["inference.json", "pdmodel"])
def test_an_inference_model_says_which_network_it_is(
    kind: str, original: reference.Reference, shared: Path, tmp_path: Path
) -> None:
    found = read_weights(_write(kind, original, shared, tmp_path))
    assert found.network == "pplcnet_x0_25"
    assert found.options == {
        "num_classes": 17, "image_size": (224, 224), "strides": family.DEFAULT_STRIDES,
        "last_conv": True, "dropout": 0.2,
    }  # fmt: skip
    for key, tensor in original.weights().items():
        np.testing.assert_array_equal(found.tensors[key], tensor, err_msg=key)


def test_the_textline_model_has_other_strides_and_no_last_convolution(shared: Path) -> None:
    folder = shared / "reference" / "textline_ori_x0_25"
    found = read_weights(folder)
    assert found.options["strides"] == ((1, 2), (2, 1), (2, 1), (2, 1), (2, 1))
    assert (found.options["last_conv"], found.options["dropout"]) == (False, 0.0)
    with np.load(folder / "weights_named.npz") as named:
        assert set(named) == set(found.tensors)
        for key in named:
            np.testing.assert_array_equal(found.tensors[key], named[key])


def test_the_older_names_of_pplcnetv2_are_read(shared: Path, tmp_path: Path) -> None:
    original = reference.load(shared, "pplcnetv2_small")
    older = {
        re.sub(r"^stages\.(\d)", lambda found: f"stage{int(found[1]) + 1}", key): tensor
        for key, tensor in original.weights().items()
    }
    np.savez(tmp_path / "w.npz", **older)
    model = create_model("pplcnetv2_small", num_classes=17, weights=tmp_path / "w.npz")
    logits = model(reference.images(224, 224), training=False).numpy()
    expected = original.outputs["logits_224x224"]
    assert reference.relative_difference(logits, expected) <= 1e-4


def test_a_bundle_is_a_weights_file(common_bundle: Path) -> None:
    model = create_model(
        "pplcnet_x0_25", num_classes=3, image_size=32, weights=common_bundle, dropout=0.2
    )
    found = read_weights(common_bundle)
    assert found.network == "pplcnet_x0_25"
    np.testing.assert_array_equal(
        value_of(model.get_layer("fc").kernel), found.tensors["fc.kernel"]
    )


def test_other_classes_keep_the_backbone_and_a_random_head(
    original: reference.Reference, tmp_path: Path
) -> None:
    np.savez(tmp_path / "w.npz", **original.weights())
    model = create_model("pplcnet_x0_25", num_classes=5)
    before = value_of(model.get_layer("fc").kernel)
    (line,) = load_pretrained(model, tmp_path / "w.npz")
    assert line.endswith("no matching weights: fc")
    np.testing.assert_array_equal(value_of(model.get_layer("fc").kernel), before)
    np.testing.assert_array_equal(
        value_of(model.get_layer("last_conv").kernel)[0, 0].T,
        original.weights()["last_conv.weight"][:, :, 0, 0],
    )


def test_a_backbone_that_does_not_fit_is_refused_even_with_a_random_head(
    original: reference.Reference, tmp_path: Path
) -> None:
    np.savez(tmp_path / "w.npz", **original.weights())
    with pytest.raises(WeightsError, match="wrong shape: blocks"):
        load_pretrained(create_model("pplcnet_x0_5", num_classes=5), tmp_path / "w.npz")


@pytest.mark.parametrize("name", ["conv_stem.weight", "encoder.convolution.convolution.weight"])
def test_a_foreign_name_that_the_network_lacks_is_named(name: str, tmp_path: Path) -> None:
    tensors = {name: np.zeros((8, 3, 3, 3), "f4"), "stage9.weird.weight": np.zeros(2, "f4")}
    (tmp_path / "w.safetensors").write_bytes(save(tensors))
    with pytest.raises(WeightsError, match=r"stage9\.weird\.weight"):
        read_weights(tmp_path / "w.safetensors")


def test_paths_without_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.onnx").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "lonely.json").write_text("{}")
    (tmp_path / "broken.keras").write_bytes(b"PK")
    for name, complaint in (
        ("absent", "no such weights file"),
        ("w.onnx", "weights are read from"),
        ("folder", "a folder without"),
        ("lonely.json", "an inference model is two files"),
    ):
        with pytest.raises(WeightsError, match=complaint):
            read_weights(tmp_path / name)
    with pytest.raises(WeightsError, match="not accepted as a Keras file"):
        load_into(create_model("pplcnet_x0_25", num_classes=3), tmp_path / "broken.keras")


@pytest.mark.parametrize("verb", ["convert", "inspect"])
@pytest.mark.parametrize(
    "content", [b"", b"text\n", b"PK\x03\x04" + bytes(99), b"\x89HDF\r\n\x1a\n"]
)
def test_whatever_a_file_holds_the_command_line_answers_in_a_sentence(
    tmp_path: Path, verb: str, content: bytes, capsys
) -> None:
    endings = (".keras", ".weights.h5", ".pdparams", ".npz", ".safetensors", ".json", ".pdmodel",
               ".pdiparams", ".zip", ".onnx", "")  # fmt: skip
    for ending in endings:
        (tmp_path / f"w{ending}").write_bytes(content)
        options = ["--out", str(tmp_path / "out")] if verb == "convert" else []
        assert main([verb, str(tmp_path / f"w{ending}"), *options]) == 2, ending
        (line,) = [each for each in capsys.readouterr().err.splitlines() if "error" in each]
        assert line.startswith("error: ")
        assert line.endswith((".", ")"))


def test_an_inference_model_needs_both_files(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / INFERENCE / "inference.json", tmp_path)
    with pytest.raises(WeightsError, match=r"inference\.pdiparams: cannot be read"):
        read_weights(tmp_path / "inference.json")


def test_parameters_cut_off_or_too_many(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / INFERENCE / "inference.json", tmp_path)
    content = (shared / INFERENCE / "inference.pdiparams").read_bytes()
    for changed, complaint in ((content[:-5], "cut off"), (content + b"12345", "5 bytes are left")):
        (tmp_path / "inference.pdiparams").write_bytes(changed)
        with pytest.raises(WeightsError, match=complaint):
            read_weights(tmp_path / "inference.json")


def _small_files() -> dict[str, bytes]:
    """One small file of each kind, to be damaged."""
    arrays = {"conv1.conv.weight": np.ones((8, 3, 3, 3), "f4"), "fc.bias": np.ones(4, "f4")}
    npz = io.BytesIO()
    np.savez(npz, **arrays)
    record = struct.pack("<IQIi", 0, 0, 0, 4) + bytes([8, 5, 16, 4]) + arrays["fc.bias"].tobytes()
    program = {"program": {"regions": [{"blocks": [{"ops": [
        {"#": "p", "A": [0, 1, 1, "b"], "O": {"%": 1, "TT": {"#": "", "D": [{}, [4]]}}},
    ]}]}]}}  # fmt: skip
    return {
        "w.pdparams": pickle.dumps(arrays, protocol=2),
        "w.npz": npz.getvalue(),
        "w.safetensors": save(arrays),
        "inference.json": json.dumps(program).encode(),
        "inference.pdiparams": record,
        "inference.pdmodel": write_pdmodel(None, {"fc.bias": arrays["fc.bias"]}),
    }


FILES = _small_files()


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damage_anywhere_gives_arrays_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, data
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    for each, content in FILES.items():
        (folder / each).write_bytes(content)
    content = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    target = "inference.json" if name == "inference.pdiparams" else name
    try:
        found = read_weights(folder / target)
    except WeightsError:
        return
    assert all(isinstance(each, np.ndarray) for each in found.tensors.values())


def test_a_keras_file_is_read_without_its_configuration(tmp_path: Path) -> None:
    """The configuration could name any Python object; only the arrays are wanted."""
    import zipfile

    model = create_model("pplcnet_x0_25", num_classes=3, image_size=32)
    model.save(tmp_path / "good.keras")
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad,
    ):
        for name in good.namelist():
            config = b'{"module": "os", "class_name": "system", "config": {"command": "touch x"}}'
            bad.writestr(name, config if name == "config.json" else good.read(name))
    other = create_model("pplcnet_x0_25", num_classes=3, image_size=32)
    load_into(other, tmp_path / "bad.keras")
    np.testing.assert_array_equal(
        value_of(other.get_layer("fc").kernel), value_of(model.get_layer("fc").kernel)
    )


def _with_options(bundle: Path, folder: Path, **options: object) -> Path:
    """A copy of a bundle whose network has other options."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["network"]["options"].update(options)
    del manifest["checksum"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_bundle_says_all_that_its_network_needs(common_bundle: Path, tmp_path: Path) -> None:
    # Another rate than the original's, as every trained bundle may have.
    path = _with_options(common_bundle, tmp_path / "other.bundle", dropout=0.0)
    bundle = Bundle.open(path)
    height, width = bundle.manifest.preprocessing.image_size
    images = 9 * np.random.default_rng(0).standard_normal((4, height, width, 3)).astype(np.float32)
    name = bundle.manifest.network["name"]
    model = create_model(name, image_size=(height, width), weights=path)
    expected = restore_model(bundle)(images, training=False).numpy()
    np.testing.assert_array_equal(model(images, training=False).numpy(), expected)
    other = create_model(name, image_size=(height, width), weights=path, dropout=0.2)
    assert not np.array_equal(other(images, training=False).numpy(), expected)
    embedding = create_model(name, image_size=None, weights=path, output="embedding")
    assert embedding.output_shape == (None, 1280)


def test_a_bundle_with_an_unknown_option_is_refused(common_bundle: Path, tmp_path: Path) -> None:
    path = _with_options(common_bundle, tmp_path / "later.bundle", wings=2)
    with pytest.raises(WeightsError, match="was made with wings, which this version"):
        create_model("pplcnet_x0_25", weights=path)


def test_networks_of_timm_do_not_scale_their_features(
    original: reference.Reference, shared: Path, tmp_path: Path
) -> None:
    path = _write("timm", original, shared, tmp_path)
    model = create_model("pplcnet_x0_25", weights=path)
    same = create_model("pplcnet_x0_25", weights=path, dropout=0.0)
    images = reference.images(224, 224)
    np.testing.assert_array_equal(
        model(images, training=False).numpy(), same(images, training=False).numpy()
    )


def test_weights_of_other_strides_are_refused(shared: Path) -> None:
    folder = shared / "reference/textline_ori_x0_25"
    with pytest.raises(WeightsError, match=r"its strides are .*; build it with strides="):
        create_model("pplcnet_x0_25", weights=folder, strides=(2, 2, 2, 2, 2))
    told = read_weights(folder).options or {}
    model = create_model("pplcnet_x0_25", weights=folder)
    assert model.output_shape == (None, told["num_classes"])


def test_weights_of_another_network_are_named(shared: Path) -> None:
    with pytest.raises(WeightsError, match="holds weights of pplcnet_x0_25, not of pplcnet_x0_35"):
        create_model("pplcnet_x0_35", num_classes=17, weights=shared / INFERENCE)


def _safetensors(kind: str, data: bytes) -> bytes:
    header = f'{{"fc.weight":{{"dtype":"{kind}","shape":[2,3],"data_offsets":[0,{len(data)}]}}}}'
    return len(header).to_bytes(8, "little") + header.encode() + data


def test_safetensors_in_half_precision_are_read(tmp_path: Path) -> None:
    numbers = np.array([[1, -2, 3], [0.5, 5, 64]], "<f4")
    upper_halves = (numbers.view("<u4") >> 16).astype("<u2").tobytes()
    for kind, data in (("BF16", upper_halves), ("F16", numbers.astype("<f2").tobytes())):
        (tmp_path / "w.safetensors").write_bytes(_safetensors(kind, data))
        found = read_weights(tmp_path / "w.safetensors").tensors
        np.testing.assert_array_equal(found["fc.weight"], numbers)


def test_safetensors_in_8_bit_floats_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(_safetensors("F8_E4M3", bytes(6)))
    with pytest.raises(WeightsError, match=r"'fc\.weight' is of the type 'F8_E4M3'"):
        read_weights(tmp_path / "w.safetensors")
