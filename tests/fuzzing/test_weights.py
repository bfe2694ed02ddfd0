"""Every reader of weights, under mutated files: tensors or one of our errors."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from pplcnet.weights.files import read_weights
from pplcnet.weights.inference_settings import read_inference_settings
from pplcnet.weights.keras_configs import saved_model, saved_options
from tests.fuzzing.harness import fuzz
from tests.weights.onnx_graphs import a_convolution_and_its_sigmoid
from tests.weights.pdmodel import write_pdmodel

STATE = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn._mean": np.array([1.5, -2.0], np.float64),
    "steps": np.array(7, np.int64),
}


def read_any(path: Path) -> None:
    read_weights(path)


@pytest.mark.slow
def test_mutated_pdparams_are_read_or_refused(tmp_path: Path) -> None:
    tuples = {key: (f"name_{key}", value) for key, value in STATE.items()}
    seeds = {
        f"{name}-{protocol}": pickle.dumps(state, protocol)
        for protocol in (2, 3, 4, 5)
        for name, state in (("plain", STATE), ("tuples", tuples), ("order", OrderedDict(STATE)))
    }
    fuzz(read_any, seeds, tmp_path, suffix=".pdparams")


@pytest.mark.slow
def test_mutated_npz_files_are_read_or_refused(tmp_path: Path) -> None:
    seeds = {}
    for name, save in (("stored", np.savez), ("packed", np.savez_compressed)):
        buffer = io.BytesIO()
        save(buffer, **STATE)
        seeds[name] = buffer.getvalue()
    fuzz(read_any, seeds, tmp_path, suffix=".npz", tokens=[b"PK\x01\x02", b"PK\x05\x06"])


@pytest.mark.slow
def test_mutated_onnx_files_are_read_or_refused(tmp_path: Path) -> None:
    seeds = {"seed": a_convolution_and_its_sigmoid().SerializeToString()}
    fuzz(read_any, seeds, tmp_path, suffix=".onnx")


@pytest.mark.slow
def test_mutated_safetensors_are_read_or_refused(tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.numpy").save
    fuzz(read_any, {"seed": save(STATE)}, tmp_path, suffix=".safetensors")


def _write_h5(path: Path, dtype: str) -> None:
    """As Keras lays out the arrays of three layers."""
    import h5py

    with h5py.File(path, "w") as file:
        for kind, name in (("dense", "fc"), ("conv2d", "conv1_conv"), ("conv2d_1", "last_conv")):
            held = file.create_group(f"layers/{kind}/vars")
            held.attrs["name"] = name
            for index, value in enumerate((np.arange(6.0, dtype="f4"), np.zeros(2, "f4"))):
                data = held.create_dataset(str(index), data=value.astype(dtype))
                data.attrs["dtype"] = "bfloat16" if dtype == "u2" else "float32"


def _keras_seeds(folder: Path) -> dict[str, bytes]:
    seeds = {}
    for name, dtype in (("float", "f4"), ("bfloat", "u2")):
        _write_h5(folder / f"{name}.h5", dtype)
        seeds[name] = (folder / f"{name}.h5").read_bytes()
    return seeds


CONFIG = {
    "class_name": "Functional",
    "config": {
        "name": "pplcnet_x0_25",
        "layers": [
            {
                "class_name": "Conv2D",
                "config": {"name": f"c{at}", "strides": [1, 2]},
                "inbound_nodes": [{"args": [{"keras_history": [f"c{at - 1}", 0, 0]}]}],
            }
            for at in range(12)
        ],
    },
}


@pytest.mark.slow
def test_mutated_weights_h5_are_read_or_refused(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    tokens = [b"TREE", b"SNOD", b"HEAP", b"GCOL"]
    seeds = _keras_seeds(tmp_path)
    fuzz(read_any, seeds, tmp_path / "f", suffix=".weights.h5", tokens=tokens)


@pytest.mark.slow
def test_mutated_keras_files_are_read_or_refused(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    seeds = {}
    for name, content in _keras_seeds(tmp_path).items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("config.json", json.dumps(CONFIG))
            archive.writestr("model.weights.h5", content)
        seeds[name] = buffer.getvalue()
    fuzz(read_any, seeds, tmp_path / "f", suffix=".keras", tokens=[b"PK\x01\x02", b"PK\x05\x06"])


def read_config(path: Path) -> None:
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    saved = saved_model(config)
    if saved is not None:
        saved_options(saved.network or "pplcnet_x0_25", saved.layers)


@pytest.mark.slow
def test_mutated_configurations_are_understood_or_refused(tmp_path: Path) -> None:
    whole = {"class_name": "Sequential", "config": {"layers": [CONFIG, {"class_name": "Softmax"}]}}
    seeds = {"plain": json.dumps(CONFIG).encode(), "inside": json.dumps(whole).encode()}
    fuzz(read_config, seeds, tmp_path, suffix=".json", tokens=[b"Rescaling", b"Activation"])


def read_settings(path: Path) -> None:
    shutil.copy(path, path.with_name("inference.yml"))
    read_inference_settings(path.parent)


@pytest.mark.slow
def test_mutated_inference_yml_is_read_or_refused(tmp_path: Path) -> None:
    text = (
        "Hpi: {a: &a [1], b: *a}\nPreProcess:\n  transform_ops:\n  - ResizeImage: {resize_short: "
        "256, interpolation: bilinear}\n  - CropImage: {size: 224}\n  - NormalizeImage:\n      "
        "mean: [0.5, 0.5, 0.5]\n      std: [0.5, 0.5, 0.5]\n      scale: 1/255\n  - ToCHWImage: "
        "null\nPostProcess:\n  MultiLabelThreshOutput:\n    threshold: 0.4\n    label_list: "
        "[no, 'a b']\n"
    )
    tokens = [b"&a ", b"*a", b"!!int ", b"---", b"? ", b"<<", b"[[[[", b"{", b"|\n", b"%YAML"]
    fuzz(read_settings, {"seed": text.encode()}, tmp_path, suffix="", tokens=tokens)


OPERATORS = [
    {"#": "p", "A": [0, 0, 0, "w"], "O": {"%": 1, "TT": {"D": [0, [2, 3]]}}},
    {
        "#": "1.matmul",
        "A": [{"N": "t", "AT": {"D": [{"D": 1}]}}],
        "I": [{"%": 1}],
        "O": [{"%": 2}],
    },
]
PROGRAM = {"program": {"regions": [{"blocks": [{"ops": OPERATORS}]}]}}


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".pdmodel", ".json", ".pdiparams"])
def test_mutated_inference_models_are_read_or_refused(tmp_path: Path, ending: str) -> None:
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3, np.float32)}
    write_pdmodel(tmp_path / "input.pdmodel", tensors)
    seeds = {
        ".pdmodel": (tmp_path / "input.pdmodel").read_bytes(),
        ".json": json.dumps(PROGRAM).encode(),
        ".pdiparams": (tmp_path / "input.pdiparams").read_bytes(),
    }
    fuzz(read_any, {"seed": seeds[ending]}, tmp_path, suffix=ending)
