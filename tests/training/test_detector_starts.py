"""What a detector may start from: a whole detector of other classes, or a classifier's trunk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import UnknownNameError, WeightsError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks import options_of
from pplcnet.tasks.detection.head import build_picodet
from pplcnet.tasks.detection.training import trained_model
from pplcnet.training.optimizers import _factors
from pplcnet.training.pretrained import (
    freeze_stages,
    read_start,
    stage_depths,
    start_from_weights,
)
from pplcnet.weights.native import write_npz

DETECTOR = "reference/picodet/xs_320_coco/weights_bnfolded.npz"
EXPORTED = "reference/picodet/xs_320_coco/picodet_xs_320_lcnet_postprocessed.onnx"
TRUNK = "reference/lcnet_x0_35_coco_trunk/lcnet_x0_35_trunk_bnfolded.npz"
SIZE = (64, 64)


def _start(
    weights: Path, photos: Path, classes: int = 3, model: str = "picodet_xs"
) -> tuple[keras.Model, list[str]]:
    dataset = Dataset.open(photos)
    dataset = replace(dataset, images=dataset.images[:6])
    recipe = Recipe(model=model, image_size=SIZE, weights=str(weights))
    network, lines = build_picodet(model, classes=classes, image_size=SIZE), []
    start = read_start(recipe)
    assert start is not None
    preprocessing = Preprocessing(SIZE, "stretch")
    start_from_weights(network, start, dataset, recipe, preprocessing, lines.append)
    return network, lines


def _variance(network: keras.Model, layer: str) -> np.ndarray:
    return value_of(network.get_layer(layer).moving_variance)


def test_a_detector_of_other_classes_gives_all_but_its_classes(
    shared: Path, common_photos: Path
) -> None:
    network, lines = _start(shared / EXPORTED, common_photos)
    assert lines[1] == "BatchNorm unfolded with statistics of 6 training images"
    assert lines[0].endswith(
        "matching weights: head_head_cls0, head_head_cls1, head_head_cls2, head_head_cls3"
    )
    np.testing.assert_allclose(
        value_of(network.get_layer("head_head_cls0").bias), -4.595, atol=1e-3
    )
    # Unfolded: its BatchNorms have statistics of the photos.
    for layer in ("conv1_bn", "neck_conv_t_convs_0_bn", "head_cls_align_3_bn2"):
        assert not np.allclose(_variance(network, layer), 1, atol=1e-4), layer


def test_with_the_same_number_of_classes_it_is_taken_whole(
    shared: Path, common_photos: Path
) -> None:
    _, lines = _start(shared / DETECTOR, common_photos, classes=80)
    assert lines[0] == f"every layer starts from {shared / DETECTOR}"


def test_a_classifiers_trunk_leaves_neck_and_head_as_they_were(
    shared: Path, common_photos: Path
) -> None:
    network, lines = _start(shared / TRUNK, common_photos)
    assert "and 118 more" in lines[0]
    assert not np.allclose(_variance(network, "conv1_bn"), 1, atol=1e-4)
    assert (_variance(network, "neck_conv_t_convs_0_bn") == 1).all()


def test_a_stage_is_frozen_with_those_before_it_and_neck_and_head_learn_at_the_full_rate() -> None:
    network = build_picodet("picodet_xs", classes=3, image_size=SIZE)
    recipe = Recipe(model="picodet_xs", weights="coco", freeze="blocks4", layer_decay=0.5)
    recipe = recipe.for_options(options_of("detection"))
    freeze_stages(network, recipe)
    frozen = {each.name.partition("_")[0] for each in network.layers if not each.trainable}
    assert frozen == {"conv1", "blocks2", "blocks3", "blocks4"}
    trained = trained_model(network)
    rates = dict(
        zip((each.path for each in trained.trainable_variables), _factors(trained, recipe),
            strict=True)
    )  # fmt: skip
    assert not any(path.startswith(("conv1", "blocks2", "blocks3", "blocks4")) for path in rates)
    assert {rate for path, rate in rates.items() if path.startswith(("neck", "head"))} == {1.0}
    by_stage = [
        {rate for path, rate in rates.items() if path.startswith(stage)}
        for stage in ("blocks5", "blocks6")
    ]
    assert [len(each) for each in by_stage] == [1, 1]
    assert max(by_stage[0]) == max(by_stage[1]) / 2 < 0.5
    with pytest.raises(UnknownNameError) as caught:
        freeze_stages(network, replace(recipe, freeze="blocks44"))
    assert "blocks4" in str(caught.value)
    assert "trunk" not in str(caught.value)


def test_a_whole_classifier_gives_its_trunk(common_photos: Path, tmp_path: Path) -> None:
    classifier = build_model("pplcnet_x0_25", num_classes=7, image_size=32)
    write_npz(classifier, tmp_path / "classifier.npz")
    network, _ = _start(tmp_path / "classifier.npz", common_photos, model="picodet_x0_25")
    for name in ("conv1_conv", "blocks6_1_pw_conv_conv"):
        np.testing.assert_array_equal(
            value_of(network.get_layer(name).kernel), value_of(classifier.get_layer(name).kernel)
        )


def test_a_trunk_of_another_scale_is_refused(shared: Path, common_photos: Path) -> None:
    with pytest.raises(WeightsError, match="wrong shape"):
        _start(shared / TRUNK, common_photos, model="picodet_x0_25")


def test_stages_of_a_detector_are_those_of_its_backbone_and_then_the_rest() -> None:
    network = build_picodet("picodet_x0_25", classes=2, image_size=64)
    stages, depths = stage_depths("picodet_x0_25", network)
    assert stages == ["conv1", "blocks2", "blocks3", "blocks4", "blocks5", "blocks6"]
    assert depths["blocks6_1_pw_conv_conv"] == 5
    assert depths["neck_conv_t_convs_0_conv"] == depths["head_head_cls0"] == 6
