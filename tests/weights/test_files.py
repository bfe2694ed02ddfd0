"""Every kind of weights file gives the same network, and no kind can do harm."""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from pplcnet.cli.main import main
from pplcnet.errors import WeightsError
from pplcnet.models import pplcnet as family
from pplcnet.models.variables import value_of
from pplcnet.weights.files import read_weights
from pplcnet.weights.loading import load_pretrained
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


def test_paths_without_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "lonely.json").write_text("{}")
    (tmp_path / "broken.keras").write_bytes(b"PK")
    for name, complaint in (
        ("absent", "no such weights file"),
        ("w.pt", "weights are read from"),
        ("folder", "a folder without"),
        ("lonely.json", "an inference model is two files"),
        ("broken.keras", "not accepted as a Keras file"),
    ):
        with pytest.raises(WeightsError, match=complaint):
            read_weights(tmp_path / name)


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
