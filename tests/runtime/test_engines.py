"""Every engine gives Keras' answers, for every family; and from several threads at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.deployment.translation import to_onnx
from pplcnet.errors import BundleError, UnknownNameError
from pplcnet.models.catalog import CATALOG
from pplcnet.models.creation import create_model
from pplcnet.models.reparameterization import to_deploy_form
from pplcnet.preprocessing import Preprocessing
from pplcnet.runtime.engine import ENGINES, open_engine
from tests.deployment.test_exporting import with_lively_statistics

SIZE = 64
PREPROCESSING = Preprocessing(image_size=(SIZE, SIZE))
SMALLEST = list(
    {(row.family, row.variant): name for name, row in reversed(CATALOG.items())}.values()
)


# Converting for LiteRT takes seconds each: one, and the one with the most kinds of layers.
FAST_FOR_LITERT = ("pplcnet_x0_25", "ghostnet_x0_5")
WAYS = [
    pytest.param(
        name,
        engine,
        marks=[pytest.mark.slow] if engine == "litert" and name not in FAST_FOR_LITERT else [],
    )
    for name in SMALLEST
    for engine in ENGINES
]


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest) -> keras.Model:
    keras.utils.set_random_seed(2)
    model = create_model(request.param, num_classes=7, image_size=SIZE)
    return to_deploy_form(with_lively_statistics(model))


def _pixels(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def _content(engine: str, model: keras.Model) -> bytes:
    pytest.importorskip(ENGINES[engine].module)
    if engine == "litert":
        if keras.backend.backend() != "tensorflow":
            pytest.skip("LiteRT files are made from TensorFlow")
        from pplcnet.deployment.litert import to_tflite

        return to_tflite(model, PREPROCESSING)
    classes = tuple("abcdefg")
    return to_onnx(model, PREPROCESSING, classes, batch=1).SerializeToString()


@pytest.mark.parametrize(("network", "engine"), WAYS, indirect=["network"])
def test_every_engine_answers_as_keras(network: keras.Model, engine: str) -> None:
    content = _content(engine, network)
    pixels = _pixels(3)
    expected = network(PREPROCESSING.normalize(pixels), training=False).numpy()
    single = open_engine(engine, content, threads=2)
    assert single.batch_size == 1
    many = open_engine(engine, content, threads=1, streams=2)
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(many.run, [pixels[at % 3][np.newaxis] for at in range(12)]))
    for at in range(12):
        for found in (at_once[at], single.run(pixels[at % 3][np.newaxis])):
            assert found.dtype == np.float32
            difference = np.abs(found - expected[at % 3]).max() / np.abs(expected).max()
            assert difference < 1e-4


def test_bfloat16_is_near_and_not_the_same() -> None:
    model = with_lively_statistics(create_model("pplcnet_x0_25", num_classes=7, image_size=SIZE))
    content = _content("openvino", model)
    pixels = _pixels(1)
    exact = open_engine("openvino", content, threads=1).run(pixels)
    rough = open_engine("openvino", content, precision="bfloat16", threads=1).run(pixels)
    difference = np.abs(rough - exact).max() / np.abs(exact).max()
    if difference == 0:
        pytest.skip("this processor computes bfloat16 in float32")
    assert difference < 0.1


def test_pixels_that_must_not_be_written_to_are_taken() -> None:
    model = create_model("pplcnet_x0_25", num_classes=7, image_size=SIZE)
    pixels = _pixels(1)
    pixels.flags.writeable = False
    for engine in ENGINES:
        open_engine(engine, _content(engine, model), threads=1).run(pixels)


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
from pplcnet.runtime.engine import open_engine
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
    model = create_model("pplcnet_x0_25", num_classes=7, image_size=SIZE)
    (tmp_path / "x.onnx").write_bytes(_content("openvino", model))
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "x.onnx")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "interrupted"


def test_openvino_works_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("pplcnet_x0_25", num_classes=7, image_size=SIZE)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path / "file" / "cache"))
    engine = open_engine("openvino", _content("openvino", model), threads=1)
    assert engine.run(_pixels(1)).shape == (1, 7)
