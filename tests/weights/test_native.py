"""pplcnet's own weights files: written and read back, and refused when they do not fit."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.errors import WeightsError
from pplcnet.weights import native
from pplcnet.weights.loading import load_into
from pplcnet.weights.pretrained import create_model
from tests.conformance import reference


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return create_model("pplcnet_x0_25", num_classes=3, image_size=32)


def test_written_weights_come_back_the_same(model: keras.Model, tmp_path: Path) -> None:
    native.write_npz(model, tmp_path / "w.npz")
    other = create_model("pplcnet_x0_25", num_classes=3, image_size=32, weights=tmp_path / "w.npz")
    for name, value in native.get_values(model).items():
        np.testing.assert_array_equal(native.get_values(other)[name], value)


def test_an_npz_of_the_originals_names(shared: Path, tmp_path: Path) -> None:
    original = reference.load(shared, "pplcnet_x0_25")
    np.savez(tmp_path / "w.npz", **original.weights())
    model = create_model("pplcnet_x0_25", num_classes=17, weights=tmp_path / "w.npz")
    np.testing.assert_array_equal(
        model.get_layer("fc").kernel.numpy(), original.weights()["fc.weight"]
    )


def test_what_does_not_fit_is_named_and_nothing_is_set(model: keras.Model) -> None:
    values = native.get_values(model)
    before = model.get_layer("fc").bias.numpy()
    values["fc.bias"] = np.ones(9, "float32")
    values["extra"] = np.ones(2)
    del values["conv1_conv.kernel"]
    with pytest.raises(WeightsError) as caught:
        native.set_values(model, values, source="the test")
    for part in ("the test", "missing: conv1_conv.kernel", "left over: extra", "fc.bias is (9,)"):
        assert part in str(caught.value)
    np.testing.assert_array_equal(model.get_layer("fc").bias.numpy(), before)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("w.npz", b"PK not a zip", "not a readable .npz"),
        ("w.npz", b"", "not a readable .npz"),
        ("w.pkl", b"1", "weights are read from"),
        ("w.h5", b"1", "not accepted as a Keras file"),
    ],
)
def test_files_that_are_no_weights(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=complaint):
        create_model("pplcnet_x0_25", weights=tmp_path / name)
    with pytest.raises(WeightsError, match="no such weights file"):
        create_model("pplcnet_x0_25", weights=tmp_path / "absent.npz")


def test_an_npz_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(WeightsError, match=r"not a readable \.npz"):
        native.read_npz(tmp_path / "w.npz")


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.array(["a", "b"]), "an array of type <U1"),
        (np.array([1 + 2j]), "an array of type complex128"),
        (np.array([1.0, np.nan], "f4"), r"NaN or infinity in fc\.bias"),
    ],
    ids=["text", "complex", "NaN"],
)
def test_only_finite_numbers_are_weights(
    model: keras.Model, tmp_path: Path, array: np.ndarray, complaint: str
) -> None:
    before = native.get_values(model)
    np.savez(tmp_path / "w.npz", **(before | {"fc.bias": array}))
    with pytest.raises(WeightsError, match=complaint):
        load_into(model, tmp_path / "w.npz")
    for name, value in native.get_values(model).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2"])
def test_any_precision_and_byte_order_is_read(
    model: keras.Model, tmp_path: Path, dtype: str
) -> None:
    values = native.get_values(model)
    np.savez(tmp_path / "w.npz", **{name: value.astype(dtype) for name, value in values.items()})
    load_into(model, tmp_path / "w.npz")
    for name, value in native.get_values(model).items():
        np.testing.assert_allclose(value, values[name], rtol=1e-3, atol=1e-4)
