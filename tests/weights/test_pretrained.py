"""create_model follows what its weights say, and refuses what does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import InputError, UnknownNameError, WeightsError
from pplcnet.models.catalog import DETECTORS, SEGMENTERS
from pplcnet.models.variables import value_of
from pplcnet.weights.bundled import restore_model
from pplcnet.weights.files import read_weights
from pplcnet.weights.pretrained import create_model

INFERENCE = "reference/paddle_files/PPLCNet_x0_25_17classes_infer"


def _with_options(bundle: Path, folder: Path, **options: object) -> Path:
    """A copy of a bundle whose network has other options."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["network"]["options"].update(options)
    del manifest["checksum"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_bundle_is_a_weights_file(common_bundle: Path) -> None:
    model = create_model(
        "pplcnet_x0_25", num_classes=3, image_size=32, weights=common_bundle, dropout=0.2
    )
    found = read_weights(common_bundle)
    assert found.network == "pplcnet_x0_25"
    np.testing.assert_array_equal(
        value_of(model.get_layer("fc").kernel), found.tensors["fc.kernel"]
    )


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


DETECTOR = "reference/picodet/xs_320_coco/weights_bnfolded.npz"


def test_a_detector_follows_its_weights_and_takes_any_size(shared: Path) -> None:
    model = create_model("picodet_xs", image_size=None, weights=shared / DETECTOR)
    assert [each.shape[-1] for each in model.outputs] == [4, 80]
    with np.load(shared / DETECTOR) as tensors:
        bias = tensors["head.head_cls2.bias"]
    np.testing.assert_array_equal(value_of(model.get_layer("head_head_cls2").bias), bias)
    boxes, scores = model(np.zeros((1, 64, 96, 3), np.float32), training=False)
    assert boxes.shape[:2] == scores.shape[:2] == (1, 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2)


def test_a_detector_takes_a_backbone_alone(shared: Path) -> None:
    model = create_model("picodet_x0_25", num_classes=3, weights="fractal")
    assert model.input_shape == (None, 320, 320, 3)
    assert model.output_shape == [(None, 2125, 4), (None, 2125, 3)]
    backbone = create_model("pplcnet_x0_25", weights="fractal")
    assert backbone.input_shape == (None, 224, 224, 3)
    for layer in ("conv1_conv", "blocks6_1_pw_conv_conv"):
        np.testing.assert_array_equal(
            value_of(model.get_layer(layer).kernel), value_of(backbone.get_layer(layer).kernel)
        )


def test_every_network_for_one_task_refuses_a_classifiers_options() -> None:
    for name in (*DETECTORS, *SEGMENTERS):
        with pytest.raises(InputError, match=f"{name} has no option 'dropout'.*backbone"):
            create_model(name, dropout=0.1)
        with pytest.raises(InputError, match="no option 'output'"):
            create_model(name, output="stages")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*DETECTORS, *SEGMENTERS}))
def test_every_network_for_one_task_can_be_created(name: str) -> None:
    assert create_model(name, num_classes=2, image_size=64).name == name


def test_networks_for_one_task_are_known_to_suggestions() -> None:
    with pytest.raises(UnknownNameError, match="picodet_xs"):
        create_model("picodet_sx")
