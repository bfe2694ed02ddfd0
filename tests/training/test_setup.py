"""What a run begins with, and what it refuses or says before it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError, RecipeError, TrainingDiverged
from pplcnet.models.variables import value_of
from pplcnet.recipe.idle_fields import idle_fields
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.search_space import ranges_of
from pplcnet.recipe.settings import field_help, parse_setting
from pplcnet.tasks import options_of
from pplcnet.training.learning_rates import run_range_test
from pplcnet.training.setup import build_trainable
from pplcnet.training.train import train

SMALL = Recipe(model="pplcnet_x0_25", image_size=(32, 32), batch_size=9, epochs=1)


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


def test_a_loss_that_is_no_number_ends_the_run_in_one_sentence(parts, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="lower learning_rate"):
        train(replace(SMALL, learning_rate=900000.0, epochs=3), *parts, out=tmp_path)


def test_balanced_sampling_is_for_one_class_a_photo(common_photos: Path, tmp_path: Path) -> None:
    parts = _multi(common_photos, tmp_path).split(0.25)
    with pytest.raises(RecipeError, match="balanced_sampling is for single-label data"):
        train(replace(SMALL, balanced_sampling=True), *parts, out=tmp_path)


def test_the_range_test_is_of_plain_training(parts) -> None:
    with pytest.raises(RecipeError, match="needs plain training"):
        run_range_test(parts[0], replace(SMALL, distillation="mutual"))


@pytest.mark.parametrize(
    ("fields", "task", "named"),
    [
        ({"weights": "x", "freeze": "trunk", "augment": "randaugment"}, "classification",
         ["augment"]),
        ({"loss": "focal"}, "classification", []),
        ({"teacher": "x", "distillation": "ssld", "loss": "focal"}, "classification", ["loss"]),
        ({"distillation": "ssld"}, "classification", ["distillation"]),
        ({"distillation": "mutual", "distillation_weight": 0.2}, "classification", []),
        ({}, "multilabel", []),
    ],
)  # fmt: skip
def test_fields_that_change_nothing_are_named(fields, task: str, named: list[str]) -> None:
    said = idle_fields(replace(SMALL, **fields).for_options(options_of(task)))
    assert [line.split(":")[0] for line in said] == [f"no effect of {name}" for name in named]


def test_the_last_epoch_has_the_whole_size() -> None:
    for epochs in (1, 2, 5):
        recipe = Recipe(epochs=epochs, warmup_epochs=0, progressive_resizing=0.5)
        assert recipe.size_in_epoch(epochs - 1) == (224, 224)


def test_a_field_that_may_be_absent_can_be_set_to_none() -> None:
    assert parse_setting("test_image_size=none") == ("test_image_size", None)
    assert parse_setting("augment=none") == ("augment", "none")


def test_the_help_names_every_allowed_value() -> None:
    for name, values in {
        "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
        "class_weights": ("none", "balanced"),
        "interpolation": ("pillow-bicubic", "opencv-bilinear"),
    }.items():
        assert all(value in field_help()[name] for value in values)


def test_what_the_asymmetric_loss_does_not_use_is_not_searched() -> None:
    assert "label_smoothing" in ranges_of(Recipe())
    assert "label_smoothing" not in ranges_of(Recipe(multilabel_loss="asymmetric"))


@pytest.mark.parametrize(
    ("part", "sizes"),
    [(1.0, [224] * 9), (0.5, [128, 128, 128, 160, 160, 192, 224, 224, 224])],
)
def test_progressive_resizing_grows_to_the_whole(part: float, sizes: list[int]) -> None:
    recipe = Recipe(epochs=9, progressive_resizing=part)
    found = [recipe.size_in_epoch(epoch)[0] for epoch in range(9)]
    assert found[0] == sizes[0]
    assert found == sorted(found)
    assert found[-3:] == [224] * 3
