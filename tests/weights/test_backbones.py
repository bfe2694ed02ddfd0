"""Backbones that ship with the package: written, read back, and what a damaged one says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pplcnet.cli.main import main
from pplcnet.errors import WeightsError
from pplcnet.models.build import build_model
from pplcnet.models.variables import value_of
from pplcnet.weights import backbones
from pplcnet.weights.backbones import backbone_path, shipped_networks, write_backbone
from pplcnet.weights.files import read_weights
from pplcnet.weights.loading import load_pretrained
from pplcnet.weights.native import get_values
from pplcnet.weights.pretrained import create_model

NAME = "pplcnet_x0_25"


def _random_values() -> dict[str, np.ndarray]:
    """Weights and statistics of NAME, none of them at its initial value."""
    generator = np.random.default_rng(0)
    values = get_values(build_model(NAME, num_classes=3, image_size=32))
    return {name: generator.uniform(0.1, 1, value.shape) for name, value in values.items()}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The values of a backbone that is the only one that ships."""
    monkeypatch.setattr(backbones, "FOLDER", tmp_path)
    values = _random_values()
    write_backbone(tmp_path / f"{NAME}.npz", NAME, values, made_with={"seed": 0})
    return values


def test_everything_but_the_classifier_is_kept_in_half_precision(shipped) -> None:
    model = create_model(NAME, weights="fractal", num_classes=5, image_size=32)
    found = get_values(model)
    for name, value in shipped.items():
        if not name.startswith("fc."):
            tolerance = 1e-3 if value.ndim > 1 else 1e-7
            np.testing.assert_allclose(found[name], value, rtol=tolerance)
    assert found["fc.kernel"].shape == (1280, 5)


def test_another_task_takes_the_stages(shipped) -> None:
    stages = create_model(NAME, weights="fractal", image_size=None, output="stages")
    stem = next(layer for layer in stages.layers if layer.name == "conv1_conv")
    expected = shipped["conv1_conv.kernel"].astype(np.float16)
    np.testing.assert_array_equal(value_of(stem.kernel), expected)


def test_a_file_without_the_last_convolution_leaves_that_random(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    write_backbone(path, NAME, _random_values(), made_with={}, without=["last_conv"])
    model = build_model(NAME, num_classes=3, image_size=32)
    assert "random, because the file has no matching weights: fc, last_conv" in str(
        load_pretrained(model, path)
    )


def test_a_backbone_file_is_a_weights_file_and_names_its_network(shipped, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.npz"
    assert read_weights(path).network == NAME
    with pytest.raises(WeightsError, match=f"holds weights of {NAME}, not of pplcnet_x0_35"):
        create_model("pplcnet_x0_35", weights=path)


def test_the_same_values_give_the_same_bytes(shipped, tmp_path: Path) -> None:
    again = tmp_path / "again.npz"
    write_backbone(again, NAME, shipped, made_with={"seed": 0})
    assert again.read_bytes() == (tmp_path / f"{NAME}.npz").read_bytes()


def test_networks_without_a_backbone_are_told_which_have_one(shipped) -> None:
    assert shipped_networks() == [NAME]
    with pytest.raises(WeightsError, match=f"has no 'fractal' backbone; there are some for {NAME}"):
        backbone_path("ghostnet_x1_0")


def test_models_lists_the_networks_with_a_backbone(shipped, capsys) -> None:
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows if row["backbones"] == ["fractal"]] == [NAME]
    assert main(["models", "--family", "pplcnet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith(", fractal")] == [NAME]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_values_that_half_precision_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    values = {**_random_values(), "conv1_conv.kernel": np.full((3, 3, 3, 8), value)}
    with pytest.raises(WeightsError, match=r"too large for float16: conv1_conv\.kernel"):
        write_backbone(tmp_path / "b.npz", NAME, values, made_with={})


@pytest.mark.parametrize(
    ("about", "complaint"),
    [
        (b"{", "cannot be read"),
        (b"[1]", "it names no network"),
        (b'{"network": 3, "format": 1}', "it names no network"),
        (b'{"network": "pplcnet_x0_25", "format": 2}', "later version"),
        (b"[" * 60_000, "cannot be read"),
        (b" " * 70_000, "not a short text"),
    ],
    ids=["cut off", "a list", "a number", "later format", "nested", "long"],
)
def test_a_damaged_description_is_refused(tmp_path: Path, about: bytes, complaint: str) -> None:
    path = tmp_path / "b.npz"
    np.savez(path, about=np.frombuffer(about, np.uint8), **{"fc.kernel": np.zeros((2, 2))})
    with pytest.raises(WeightsError, match=complaint):
        read_weights(path)
