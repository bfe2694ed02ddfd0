"""What a training begins with, and what it refuses before it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError, RecipeError, TrainingDiverged
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.setup import build_trainable
from pplcnet.training.train import train
from tests.shallow import shallow_networks

SMALL = Recipe(model="pplcnet_x0_25", image_size=(32, 32), batch_size=9, epochs=1, weights=None)


@pytest.fixture(scope="module")
def parts(common_photos: Path) -> tuple[Dataset, Dataset]:
    return Dataset.open(common_photos).split(0.25, seed=0)


def _multi(photos: Path, folder: Path) -> Dataset:
    rows = [
        f"{image.path.resolve()},{'1' if image.shown[0] else ''},{int(image.shown[0] == 2)}"
        for image in Dataset.open(photos).images
    ]
    path = folder / "labels.csv"
    path.write_text("\n".join(["path,dark,round", *rows]) + "\n")
    return Dataset.open(path)


def test_two_students_of_the_same_weights_begin_with_two_heads(parts, common_bundle: Path) -> None:
    recipe = replace(
        SMALL, weights=str(common_bundle), distillation="mutual", layer_decay=0.5, warmup_epochs=0
    )
    run = build_trainable(parts[0], recipe, report=lambda line: None)
    (peer,) = [layer for layer in run.model.layers if isinstance(layer, keras.Model)]
    for own, other in zip(run.network.weights[:-2], peer.weights[:-2], strict=True):
        np.testing.assert_array_equal(value_of(own), value_of(other))
    heads = [value_of(each.weights[-2]) for each in (run.network, peer)]
    assert not np.array_equal(*heads)
    # The layers' rates hold for both: the stem learns a small part of what the head does.
    networks = (run.network, peer)
    before = [[value_of(each.weights[at]) for at in (0, -2)] for each in networks]
    gradients = [keras.ops.ones_like(each) for each in run.model.trainable_variables]
    run.model.optimizer.apply(gradients, run.model.trainable_variables)
    for network, old in zip(networks, before, strict=True):
        stem, head = (
            np.abs(value_of(network.weights[at]) - value).max()
            for at, value in zip((0, -2), old, strict=True)
        )
        assert 0 < stem < head / 20


def test_more_accumulation_than_batches_is_refused(parts, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only 3 batches in all: nothing would be learned"):
        train(replace(SMALL, gradient_accumulation=32), *parts, out=tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run_in_one_sentence(parts, tmp_path: Path) -> None:
    diverges = replace(SMALL, learning_rate=900000.0, epochs=3)
    said = r"learning_rate=9e\+05 .*learning_rate=2\.2e\+05 "
    with shallow_networks(tmp_path / "backbones"), pytest.raises(TrainingDiverged, match=said):
        train(diverges, *parts, out=tmp_path / "run")


def test_balanced_sampling_is_for_one_class_per_image(common_photos: Path, tmp_path: Path) -> None:
    parts = _multi(common_photos, tmp_path).split(0.25)
    with pytest.raises(RecipeError, match="balanced_sampling is for single-label data"):
        train(replace(SMALL, balanced_sampling=True), *parts, out=tmp_path)
