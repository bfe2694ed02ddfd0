"""Training from pretrained weights: what is frozen stays, the rest learns at its own rate."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import RecipeError, TrainingInterrupted, UnknownNameError, WeightsError
from pplcnet.models.build import build_model
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks import find, options_of, training_of
from pplcnet.training.head_only import FeatureBatches, compute_features, split_at_pool
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.pretrained import (
    freeze_stages,
    options_for_training,
    read_start,
    start_from_weights,
)
from pplcnet.training.setup import build_trainable
from pplcnet.training.train import train
from pplcnet.weights import native
from pplcnet.weights.bundled import restore_model
from tests.training.steps import after_each_step

pytestmark = pytest.mark.usefixtures("shallow_networks")

SETTINGS = {
    "model": "pplcnet_x0_25", "image_size": [32, 32], "batch_size": 9, "epochs": 2, "seed": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(common_photos: Path) -> tuple[Dataset, Dataset]:
    return Dataset.open(common_photos).split(0.25, seed=0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network of eight classes, with lively statistics."""
    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("weights") / "w.npz"
    native.write_npz(build_model("pplcnet_x0_25", num_classes=8, image_size=32), path)
    return path


def _train(parts, out: Path, weights: Path, **changes: object):
    recipe = Recipe().changed(SETTINGS | {"weights": str(weights)} | changes)
    lines: list[str] = []
    result = train(recipe, *parts, out=out, report=lines.append)
    return restore_model(Bundle.open(result.bundle)), lines, result


def _values(model: keras.Model) -> dict[str, np.ndarray]:
    return native.get_values(model)


def test_the_trunk_starts_from_the_file_and_the_head_fresh(parts, weights: Path) -> None:
    recipe = Recipe().changed(SETTINGS | {"weights": str(weights)})
    lines: list[str] = []
    values = _values(build_trainable(parts[0], recipe, report=lines.append).network)
    assert any("no matching weights: fc" in line for line in lines)
    for name, before in native.read_npz(weights).items():
        if name.partition(".")[0] != "fc":
            np.testing.assert_array_equal(values[name], before, err_msg=name)


def test_frozen_stages_keep_weights_and_statistics(parts, tmp_path: Path, weights: Path) -> None:
    model, _, _ = _train(parts, tmp_path, weights, freeze="blocks4")
    before, after = native.read_npz(weights), _values(model)
    for name, value in after.items():
        stage = name.split("_")[0]
        is_same = name in before and np.array_equal(before[name], value)
        if stage in ("conv1", "blocks2", "blocks3", "blocks4"):
            assert is_same, name
        elif name.endswith(".kernel"):
            assert not is_same, name


def test_a_frozen_trunk_trains_its_head_on_features(parts, tmp_path: Path, weights: Path) -> None:
    model, _, result = _train(parts, tmp_path, weights, freeze="trunk", epochs=5)
    before, after = native.read_npz(weights), _values(model)
    changed = {
        name.split(".")[0]
        for name in after
        if name not in before or not np.array_equal(before[name], after[name])
    }
    assert changed == {"last_conv", "fc"}
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4, 5]


def test_a_frozen_trunk_resumes_to_the_same_weights_although_their_file_is_gone(
    parts, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.npz"
    own.write_bytes(weights.read_bytes())
    whole, _, _ = _train(parts, tmp_path / "whole", own, freeze="trunk", epochs=4)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done == 7:  # of 3 an epoch
            os.kill(os.getpid(), signal.SIGINT)

    after_each_step(monkeypatch, count)
    fields = {"weights": str(own), "freeze": "trunk", "epochs": 4}
    recipe = Recipe().changed(SETTINGS | fields)
    with pytest.raises(TrainingInterrupted):
        train(recipe, *parts, out=tmp_path / "cut")
    own.unlink()
    resumed = train(recipe, *parts, out=tmp_path / "cut", resume=True)
    for name, value in _values(restore_model(Bundle.open(resumed.bundle))).items():
        np.testing.assert_array_equal(value, _values(whole)[name], err_msg=name)


def test_the_head_alone_comes_first_when_asked_for(parts, tmp_path: Path, weights: Path) -> None:
    _, lines, result = _train(parts, tmp_path, weights, head_epochs=3)
    assert any(line.startswith("head alone, 3 epochs") for line in lines)
    assert len(result.history) == 2


def test_features_are_those_that_the_whole_network_computes(parts) -> None:
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    recipe = Recipe().changed(SETTINGS)
    preprocessing = preprocessing_of(recipe)
    backbone, head = split_at_pool(model)
    pixels = np.stack([preprocessing(image.path) for image in parts[1].images])
    (features,) = compute_features(backbone, [pixels], preprocessing)
    np.testing.assert_allclose(
        head(features, training=False).numpy(),
        model(preprocessing.normalize(pixels), training=False).numpy(),
        atol=1e-5,
    )
    batches = FeatureBatches(backbone, parts[0], recipe, preprocessing, 2)
    one, two = list(batches.epoch(1)), list(batches.epoch(1, first_step=1))
    np.testing.assert_array_equal(one[1].images, two[0].images)
    labels = np.concatenate([each.targets.argmax(axis=1) for each in one])
    assert sorted(labels) == [0] * 9 + [1] * 9 + [2] * 9


def test_wrong_settings_are_named(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(RecipeError, match=r"freeze is 'blocks4'; it needs weights"):
        Recipe().changed({"freeze": "blocks4", "weights": None})
    with pytest.raises(RecipeError, match=r"layer_decay is 1\.5"):
        Recipe().changed({"layer_decay": 1.5})
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    with pytest.raises(UnknownNameError, match="blocks4"):
        freeze_stages(model, Recipe().changed({"freeze": "block4", "weights": "x"}))


def test_weights_of_another_network_are_refused(parts, tmp_path: Path, weights: Path) -> None:
    with pytest.raises(WeightsError, match="does not fit pplcnet_x0_5"):
        _train(parts, tmp_path, weights, model="pplcnet_x0_5")


@pytest.mark.parametrize("kind", ["native", "bundle", "original names"])
def test_the_network_is_the_one_that_the_weights_were_made_for(
    parts, tmp_path: Path, kind: str
) -> None:
    made_with = {"last_conv_bias": True, "strides": [2, [2, 1], 2, [2, 1], 2], "dropout": 0.0}
    if kind != "bundle":
        made_with.pop("strides")  # tensors alone do not tell them
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32, **made_with)
    path = tmp_path / "w.npz"
    if kind == "original names":
        held = {
            "fc.weight": (1280, 3),
            "last_conv.weight": (1280, 128, 1, 1),
            "last_conv.bias": (9,),
        }
        np.savez(path, **{name: np.zeros(shape, "f4") for name, shape in held.items()})
        recipe = Recipe().changed(SETTINGS | {"weights": str(path)})
        told = options_for_training(recipe, read_start(recipe))
        assert told == {"dropout": 0.0, "last_conv": True, "last_conv_bias": True}
        return
    native.write_npz(model, path)
    if kind == "bundle":
        manifest = Manifest(
            classes=("a", "b", "c"),
            preprocessing=preprocessing_of(Recipe().changed(SETTINGS)),
            network={"name": "pplcnet_x0_25", "options": made_with},
            variants={"keras": {"file": "weights.npz"}},
        )
        path = write_bundle(
            tmp_path / "a.bundle", manifest, {"weights.npz": path.read_bytes()}
        ).path
    brief = {"epochs": 1, "freeze": "trunk"}
    trained, lines, result = _train(parts, tmp_path / "run", path, **brief)
    assert f"every layer starts from {path}" in lines
    assert value_of(trained.get_layer("last_conv").bias).shape == (1280,)
    options = Bundle.open(result.bundle).manifest.network["options"]
    assert {name: options[name] for name in made_with} == made_with
    if kind == "bundle":
        _, lines, _ = _train(parts, tmp_path / "again", result.bundle, **brief)
        assert f"every layer starts from {result.bundle}" in lines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "task"),
    [("picodet_x0_25", "detection"), ("mobileseg_pplcnet_x0_25", "segmentation")],
)
def test_a_network_for_one_task_takes_the_backbone_of_a_whole_classifier(
    parts, weights: Path, model: str, task: str
) -> None:
    recipe = Recipe(
        model=model, weights=str(weights), image_size=(64, 64), options=options_of(task)()
    )
    start, lines = read_start(recipe), []
    assert start is not None
    assert start.options["last_conv"]
    build = training_of(find(task)).build
    network = build(model, ("a", "b"), (64, 64), options_for_training(recipe, start))
    start_from_weights(network, start, parts[0], recipe, preprocessing_of(recipe), lines.append)
    assert "random, because the file has no matching weights" in lines[0]
    found = native.get_values(network)
    with np.load(weights) as arrays:
        kept = [name for name in arrays.files if name in found]
        assert len(kept) > 20
        for name in kept:
            np.testing.assert_array_equal(found[name], arrays[name], err_msg=name)


def test_a_run_resumes_when_its_weights_are_gone(parts, tmp_path: Path, weights: Path) -> None:
    own = tmp_path / "own.npz"
    own.write_bytes(weights.read_bytes())
    fields = {"weights": str(own), "freeze": "blocks3", "epochs": 1}
    recipe = Recipe().changed(SETTINGS | fields)
    first = train(recipe, *parts, out=tmp_path / "run")
    before = _values(restore_model(Bundle.open(first.bundle)))
    own.unlink()
    again = train(recipe, *parts, out=tmp_path / "run", resume=True)
    for name, value in _values(restore_model(Bundle.open(again.bundle))).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
