"""Every engine gives Keras' answers, for every family; and from several threads at once."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import BundleError, UnknownNameError
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.models.layers import HardSigmoid
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import ENGINES, open_engine, run_padded
from pplcnet.runtime.engines.failures import clear_errors
from pplcnet.runtime.engines.names import output_names
from pplcnet.tasks.task import Outputs
from tests.exporting.networks import with_lively_statistics
from tests.representatives import EACH_STRUCTURE, NARROWEST
from tests.runtime.networks import small_network

SIZE = 64
PREPROCESSING = Preprocessing(image_size=(SIZE, SIZE))

# Making a file takes seconds each. The fast test of the ONNX files of the others, in both engines,
# is in tests/exporting/test_translation.py.
WAYS = [
    pytest.param(name, engine, marks=[pytest.mark.slow] if name != "pplcnet_x0_25" else [])
    for name in NARROWEST
    for engine in ENGINES
]


@cache
def _network(name: str) -> keras.Model:
    keras.utils.set_random_seed(2)
    model = build_model(name, num_classes=7, image_size=SIZE)
    return to_deploy_form(with_lively_statistics(model))


def _pixels(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def _pplcnet(**options: Any) -> keras.Model:
    options = {"num_classes": 7, "image_size": SIZE, **options}
    return with_lively_statistics(build_model("pplcnet_x0_25", **options))


def _content(engine: str, model: keras.Model) -> bytes:
    pytest.importorskip(ENGINES[engine].module)
    if engine == "litert":
        if keras.backend.backend() != "tensorflow":
            pytest.skip("LiteRT files are made from TensorFlow")
        from pplcnet.exporting.litert import to_tflite

        return to_tflite(model, PREPROCESSING)
    classes = tuple("abcdefg")
    return to_onnx(model, Manifest(classes, PREPROCESSING, {}), batch=1).SerializeToString()


def _made(engine: str, name: str = "pplcnet_x0_25") -> bytes:
    """The content of one network's file, which is made once for all tests."""
    pytest.importorskip(ENGINES[engine].module)
    return _made_once("litert" if engine == "litert" else "onnxruntime", name)


@cache
def _made_once(engine: str, name: str) -> bytes:
    return _content(engine, _network(name))


def _only(outputs: Outputs) -> np.ndarray:
    """The one output, whose name a LiteRT file does not keep."""
    (found,) = outputs.values()
    return found


@pytest.mark.parametrize(("name", "engine"), WAYS)
def test_every_engine_answers_as_keras(name: str, engine: str) -> None:
    network = _network(name)
    content = _made(engine, name)
    pixels = _pixels(3)
    expected = network(PREPROCESSING.normalize(pixels), training=False).numpy()
    single = open_engine(engine, content, threads=2)
    assert single.batch_size == 1
    many = open_engine(engine, content, threads=1, streams=2)
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(many.run, [pixels[at % 3][np.newaxis] for at in range(12)]))
    for at in range(12):
        for outputs in (at_once[at], single.run(pixels[at % 3][np.newaxis])):
            found = _only(outputs)
            assert found.dtype == np.float32
            difference = np.abs(found - expected[at % 3]).max() / np.abs(expected).max()
            assert difference < 1e-4


def _opencv_logits(content: bytes, pixels: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 through OpenCV's own reader of ONNX files, one image at a time."""
    cv2 = pytest.importorskip("cv2")
    network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    logits = []
    for image in pixels:
        network.setInput(np.ascontiguousarray(image[np.newaxis]))
        logits.append(network.forward().copy())
    return np.concatenate(logits)


def _relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", EACH_STRUCTURE)
def test_opencv_answers_as_keras(name: str) -> None:
    network = _network(name)
    pixels = _pixels(3)
    expected = network(PREPROCESSING.normalize(pixels), training=False).numpy()
    assert _relative_difference(_opencv_logits(_made("onnxruntime", name), pixels), expected) < 1e-4


def _gated(gate: Callable[[], keras.layers.Layer]) -> keras.Model:
    """Channel attention whose gate reaches 0 and 1, after a convolution and after an addition."""
    inputs = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    for behind in ("convolution", "addition"):
        pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(features)
        expand = keras.layers.Conv2D(8, 1)
        scale = expand(pooled)
        expand.bias.assign(np.linspace(-5, 5, 8))
        if behind == "addition":
            scale = keras.layers.Add()([scale, pooled])
        features = keras.layers.Multiply()([features, gate()(scale)])
    # A tensor times its own gate is what an engine may take for hard-swish where it is not.
    features = keras.layers.Conv2D(8, 1)(features)
    features = keras.layers.Multiply()([features, gate()(features)])
    features = keras.layers.GlobalAveragePooling2D(keepdims=True)(features)
    return keras.Model(inputs, keras.layers.Dense(7)(keras.layers.Flatten()(features)))


GATES = {
    "sixth": lambda: HardSigmoid(),
    "fifth": lambda: HardSigmoid(0.2, 0.5),
    "clip": lambda: HardSigmoid(1.0, 0.0),
    "keras": lambda: keras.layers.Activation("hard_sigmoid"),
    "sigmoid": lambda: keras.layers.Activation("sigmoid"),
}
ODD_MEMBERS = {
    **{f"gate {name}": partial(_gated, gate) for name, gate in GATES.items()},
    "no last conv": partial(_pplcnet, last_conv=False),
    "bias in the last conv": partial(_pplcnet, last_conv_bias=True),
    "text line strides": partial(
        _pplcnet, strides=[(1, 2), (2, 1), (2, 1), (2, 1), (2, 1)], image_size=(48, 96)
    ),
    "odd size": partial(_pplcnet, image_size=(33, 47)),
    "one class": partial(_pplcnet, num_classes=1),
}


@pytest.mark.parametrize(
    ("member", "batch"),
    [*((member, 1) for member in ODD_MEMBERS), ("gate sixth", None), ("text line strides", None)],
)
def test_every_reader_of_onnx_agrees_on_odd_members(member: str, batch: int | None) -> None:
    keras.utils.set_random_seed(2)
    model = ODD_MEMBERS[member]()
    size, count = model.input.shape[1:3], model.output.shape[-1]
    preprocessing = Preprocessing(image_size=size)
    classes = tuple("abcdefg"[:count])
    content = to_onnx(model, Manifest(classes, preprocessing, {}), batch=batch).SerializeToString()
    pixels = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    expected = model(preprocessing.normalize(pixels), training=False).numpy()
    for name in ("onnxruntime", "openvino"):
        engine = open_engine(name, content, threads=1)
        assert _relative_difference(run_padded(engine, pixels)["logits"], expected) < 1e-4, name
    assert _relative_difference(_opencv_logits(content, pixels), expected) < 1e-4


def test_int8_keeps_the_gates() -> None:
    pytest.importorskip("nncf")
    from pplcnet.exporting.int8 import quantize_content

    keras.utils.set_random_seed(2)
    model = with_lively_statistics(_pplcnet())
    for layer in model.layers:
        if layer.name.endswith("se_conv2"):
            layer.bias.assign(np.linspace(-5, 5, layer.bias.shape[0]))
    pixels = _pixels(16)
    content = _content("onnxruntime", model)
    expected = model(PREPROCESSING.normalize(pixels), training=False).numpy()
    quantized = quantize_content(content, pixels)
    assert "HardSigmoid" not in {
        node.op_type for node in onnx.load_from_string(quantized).graph.node
    }
    for name, precision in (("openvino", "int8"), ("onnxruntime", "float32")):
        found = run_padded(open_engine(name, quantized, precision=precision, threads=1), pixels)
        assert _relative_difference(found["logits"], expected) < 0.1, name


def test_bfloat16_is_near_and_not_the_same() -> None:
    content = _made("openvino")
    pixels = _pixels(1)
    exact = open_engine("openvino", content, threads=1).run(pixels)["logits"]
    rough = open_engine("openvino", content, precision="bfloat16", threads=1).run(pixels)["logits"]
    difference = np.abs(rough - exact).max() / np.abs(exact).max()
    if difference == 0:
        pytest.skip("this processor computes bfloat16 in float32")
    assert difference < 0.1


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_output_has_its_name(engine: str) -> None:
    proto = small_network("N")
    pooled = onnx.helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, ["N", 4])
    proto.graph.output.append(pooled)
    sizes = Sizes((8, 8), {"flat": (4,), "logits": (2,)})
    opened = open_engine(engine, proto.SerializeToString(), threads=1, sizes=sizes)
    outputs = opened.run(np.zeros((3, 8, 8, 3), np.uint8))
    assert {name: each.shape for name, each in outputs.items()} == {
        "logits": (3, 2),
        "flat": (3, 4),
    }
    with pytest.raises(BundleError, match="its outputs are 'logits'"):
        open_engine(
            engine,
            small_network().SerializeToString(),
            sizes=Sizes((8, 8), {"flat": (4,), "logits": (2,)}),
        )


@pytest.mark.parametrize("engine", list(ENGINES))
def test_the_only_output_has_the_name_that_the_manifest_gives_it(engine: str) -> None:
    sizes = Sizes((SIZE, SIZE), {"scores": (7,)})
    opened = open_engine(engine, _made(engine), threads=1, sizes=sizes)
    assert list(opened.run(_pixels(1))) == ["scores"]


def test_outputs_of_other_names_are_an_error() -> None:
    with pytest.raises(BundleError, match="has the outputs a, b; its manifest says c, d"):
        output_names(["a", "b"], ["c", "d"])
    assert output_names(["a", "b"], ["b", "a"]) == ["a", "b"]
    assert output_names(["a", "b"], ["c", "d"], is_ordered=True) == ["c", "d"]
    assert output_names(["a", "b"], None) == ["a", "b"]


def test_pixels_that_must_not_be_written_to_are_taken() -> None:
    pixels = _pixels(1)
    pixels.flags.writeable = False
    for engine in ENGINES:
        open_engine(engine, _made(engine), threads=1).run(pixels)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_what_is_no_network_is_one_clear_error(engine: str) -> None:
    pytest.importorskip(ENGINES[engine].module)
    with pytest.raises(BundleError, match="cannot load this network"):
        open_engine(engine, b"no network at all", threads=1)


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean openvino"):
        open_engine("openvno", b"")


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
from pathlib import Path
from pplcnet.runtime.engines.engine import open_engine
content = Path(sys.argv[1]).read_bytes()
first = open_engine("openvino", content, threads=1)
second = open_engine("openvino", content, threads=1, streams=2)
del first
del second
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_no_crash_after_engines_have_gone(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(_made("openvino"))
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "x.onnx")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "interrupted"


def test_openvino_works_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path / "file" / "cache"))
    engine = open_engine("openvino", _made("openvino"), threads=1)
    assert engine.run(_pixels(1))["logits"].shape == (1, 7)


class _ForeignError(Exception):
    pass


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Exception from src/inference/src/cpp/core.cpp:169:\nException from a.cpp:54:\n"
            "Check '!empty()' failed at executor_factory.hpp:117:\nNo suitable implementations."
            "This may indicate that the provided memory descriptors are not compatible.\n\n",
            "OpenVINO has no int8-bfloat16 kernels for this network on this processor ",
        ),
        (
            "Exception from core.cpp:1:\\nThe layer is odd.\\n",
            "cannot load this network: The layer",
        ),
        ("x" * 5000, "cannot load this network: x{199}…"),
        ("", "cannot load this network: _ForeignError"),
        ("\x1b[31mred", "cannot load this network: .x1b"),
    ],
)
def test_what_an_engine_raises_becomes_one_sentence(text: str, said: str) -> None:
    with (
        pytest.raises(BundleError, match=said) as caught,
        clear_errors("OpenVINO", "load", "int8-bfloat16"),
    ):
        raise _ForeignError(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("engine", list(ENGINES))
def test_pictures_of_another_size_are_one_clear_error(engine: str) -> None:
    opened = open_engine(engine, _made(engine), threads=1)
    with pytest.raises(BundleError, match="cannot run this network") as caught:
        opened.run(np.zeros((1, 16, 16, 3), np.uint8))
    assert "\n" not in str(caught.value)


def test_every_engine_names_an_extra_that_exists() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    extras = pyproject["project"]["optional-dependencies"]
    for name, kind in ENGINES.items():
        requirements = extras[kind.extra] if kind.extra else pyproject["project"]["dependencies"]
        package = kind.module.replace("_", "-")
        assert any(each.startswith(package) for each in requirements), name
