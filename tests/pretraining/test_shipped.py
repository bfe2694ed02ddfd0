"""The backbones that ship: they fit their networks, hold finite numbers and stay small."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pplcnet.models.build import build_model
from pplcnet.weights.backbones import backbone_path, shipped_networks
from pplcnet.weights.loading import load_pretrained
from pplcnet.weights.native import get_values, read_npz

NETWORKS = ["pplcnet_x0_25", "pplcnet_x0_35", "pplcnet_x0_5", "pplcnet_x0_75", "pplcnet_x1_0"]


def test_small_networks_ship_with_a_backbone_and_all_stay_under_ten_megabytes() -> None:
    assert set(shipped_networks()) >= set(NETWORKS)
    assert sum(backbone_path(name).stat().st_size for name in shipped_networks()) < 10e6


@pytest.mark.parametrize("network", NETWORKS)
def test_a_shipped_backbone_fits_and_brings_sound_statistics(network: str) -> None:
    path = backbone_path(network)
    model = build_model(network, num_classes=3, image_size=32)
    before = get_values(model)
    load_pretrained(model, path)
    after = get_values(model)
    assert all(np.isfinite(value).all() for value in after.values())
    assert np.array_equal(after["fc.kernel"], before["fc.kernel"])
    for name, value in after.items():
        if name.endswith(".moving_variance"):
            assert value.min() >= 0
            assert not np.array_equal(value, before[name])
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    logits = np.asarray(model(images))
    assert np.isfinite(logits).all()
    assert not np.allclose(logits[0], logits[1])


@pytest.mark.parametrize("network", NETWORKS)
def test_a_shipped_backbone_says_how_to_make_it_again(network: str) -> None:
    about = json.loads(read_npz(backbone_path(network))["about"].tobytes())
    made = about["made_with"]
    assert about["network"] == network
    assert 0 < made["seen"] <= made["views"]
    assert {"seed", "sizes", "batch_size", "rate", "pictures"} <= set(made)
