"""Which recipe goes with which start, and what becomes of auto."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pplcnet.cli.suspects import RECIPE as SUSPECTS
from pplcnet.cli.train import add_arguments, read_recipe
from pplcnet.errors import RecipeError
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import for_task, recipe_by_start, settled
from pplcnet.recipe.task_options import TaskOptions
from pplcnet.tasks.classification.options import ClassificationOptions
from pplcnet.tasks.detection.options import DetectionOptions
from pplcnet.tasks.multilabel.options import MultilabelOptions

FINETUNE, FRACTAL = Recipe.named("finetune"), Recipe.named("fractal")


@pytest.mark.parametrize(
    ("weights", "recipe"),
    [
        ("imagenet", FINETUNE), ("imagenet-ssld", FINETUNE), ("timm", FINETUNE),
        ("w.npz", FINETUNE), ("run/model.bundle", FINETUNE), ("fractal", FRACTAL),
        (None, Recipe()), ("none", Recipe()),
    ],
)  # fmt: skip
def test_every_start_has_its_recipe(weights: str | None, recipe: Recipe) -> None:
    expected = recipe.changed({"weights": weights, "epochs": 7})
    assert recipe_by_start({"weights": weights, "epochs": 7}) == expected
    assert settled(recipe_by_start({"epochs": 7}), weights) == expected


def test_a_field_that_was_given_keeps_its_value_even_if_that_is_the_default() -> None:
    given = recipe_by_start({"epochs": Recipe().epochs, "weights": "auto"})
    assert settled(given.changed({"dropout": 0.0}), "imagenet") == FINETUNE.changed(
        {"epochs": Recipe().epochs, "dropout": 0.0, "weights": "imagenet"}
    )


def test_a_whole_recipe_changes_nothing_but_its_start() -> None:
    tiny = Recipe.named("tiny")
    assert settled(tiny, "imagenet") == tiny.changed({"weights": "imagenet"})
    assert settled(tiny.changed({"weights": "timm"}), "imagenet").weights == "timm"


def test_the_task_of_the_data_stays() -> None:
    recipe = recipe_by_start({}).for_options(MultilabelOptions)
    assert type(settled(recipe, "imagenet").options) is MultilabelOptions


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("coco", "picodet-finetune"), ("w.npz", "picodet-finetune"), ("auto", "picodet-finetune"),
        ("imagenet", "picodet-scratch"), ("timm", "picodet-scratch"),
        ("fractal", "picodet-scratch"), (None, "picodet-scratch"), ("none", "picodet-scratch"),
    ],
)  # fmt: skip
def test_a_task_may_have_recipes_of_its_own_for_the_starts(weights: str | None, name: str) -> None:
    expected = Recipe.named(name).for_options(DetectionOptions)
    expected = expected.changed({"weights": weights, "epochs": 7})
    values = {"weights": weights, "epochs": 7}
    assert recipe_by_start(values, DetectionOptions) == expected
    # As the command line makes it, before it knows what the photos are labelled with.
    assert for_task(recipe_by_start(values), DetectionOptions) == expected


def test_a_field_of_one_task_says_whose_recipe_it_is() -> None:
    recipe = recipe_by_start({"weights": "w.npz"} | {"multi_scale": 0})
    assert (recipe.image_size, recipe.resize, recipe.multi_scale) == ((320, 320), "stretch", 0)
    with pytest.raises(RecipeError, match="this is detection data"):
        for_task(recipe_by_start({"label_smoothing": 0.3}), DetectionOptions)
    with pytest.raises(RecipeError, match="multi_scale is for detection data"):
        for_task(recipe, MultilabelOptions)


def test_the_command_line_keeps_what_was_given_for_a_detector() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = ["photos", "--out", "run", "--weights", "w.npz", "--set", "multi_scale=1",
                 "--model", "picodet_xs", "--set", "crop_scale=0.5,1"]  # fmt: skip
    recipe = for_task(read_recipe(parser.parse_args(arguments)), DetectionOptions)
    assert (recipe.model, recipe.multi_scale, recipe.crop_scale) == ("picodet_xs", 1, (0.5, 1.0))
    assert (recipe.learning_rate, recipe.ema) == (0.64, 0.998)


def test_what_needs_weights_is_refused_once_there_are_none() -> None:
    recipe = recipe_by_start({"freeze": "trunk"})
    assert settled(recipe, "imagenet").freeze == "trunk"
    with pytest.raises(RecipeError, match="freeze is 'trunk'; it needs weights"):
        settled(recipe, None)


def test_recipes_from_scratch_say_so() -> None:
    assert [Recipe.named(name).weights for name in ("scratch", "imagenet")] == [None, None]
    assert [Recipe.named(name).weights for name in ("tiny", "suspects")] == ["auto", "auto"]


@pytest.mark.parametrize("weights", [None, "auto", "fractal", "w.npz"])
def test_the_start_survives_a_file(tmp_path: Path, weights: str | None) -> None:
    recipe = Recipe(weights=weights, epochs=3)
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert Recipe.from_toml(tmp_path / "recipe.toml") == recipe


def test_a_file_of_a_run_before_auto_means_random_values(tmp_path: Path) -> None:
    old = tmp_path / "recipe.toml"
    old.write_text("# What to start from.\n# weights =\n\n# Passes.\nepochs = 3\n")
    assert Recipe.from_toml(old) == Recipe(weights=None, epochs=3)
    old.write_text("epochs = 3\n")  # written by hand
    assert Recipe.from_toml(old).weights == "auto"


def test_suspects_keeps_its_own_recipe_but_with_weights_from_photos() -> None:
    def recipe(*arguments: str) -> Recipe:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        own = Recipe.named(SUSPECTS)
        return read_recipe(parser.parse_args(["photos", "--out", "run", *arguments]), own)

    own = Recipe.named(SUSPECTS)
    assert recipe() == own
    assert recipe("--weights", "none") == own.changed({"weights": None})
    assert recipe("--weights", "fractal").image_size == own.image_size
    assert recipe("--weights", "w.npz") == FINETUNE.changed({"weights": "w.npz"})


@pytest.mark.parametrize(
    ("model", "kind", "data"),
    [
        ("picodet_xs", ClassificationOptions, "single-label"),
        ("picodet_xs", MultilabelOptions, "multi-label"),
        ("pplcnet_x0_25", DetectionOptions, "detection"),
    ],
)
def test_a_network_of_another_task_is_refused(
    model: str, kind: type[TaskOptions], data: str
) -> None:
    for recipe in (recipe_by_start({"model": model}), Recipe().changed({"model": model})):
        with pytest.raises(RecipeError, match=f"{model}', which is not for {data} data"):
            for_task(recipe, kind)
