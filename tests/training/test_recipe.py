"""The recipe: every field explained, every fault at once, the same from file, options and --set."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest

import pplcnet.training
from pplcnet.cli.train import add_arguments, read_recipe
from pplcnet.errors import RecipeError, UnknownNameError
from pplcnet.training.recipe import Recipe, field_help, named_recipes, parse_setting

RECIPES = Path(pplcnet.training.__file__).with_name("recipes")


FLOATS = [
    name
    for name, hint in get_type_hints(Recipe).items()
    if hint is float or (float in get_args(hint) and get_origin(hint) is not tuple)
]


def test_every_field_is_explained() -> None:
    texts = field_help()
    assert set(texts) == {field.name for field in fields(Recipe)}
    assert all(text.endswith(".") for text in texts.values())


def test_a_recipe_survives_its_file(tmp_path: Path) -> None:
    recipe = Recipe().changed({"image_size": [96, 128], "weights": 'a "b"\\c.npz', "epochs": 3})
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert Recipe.from_toml(tmp_path / "recipe.toml") == recipe
    (tmp_path / "recipe.toml").write_text(Recipe().to_toml())
    assert Recipe.from_toml(tmp_path / "recipe.toml") == Recipe()


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("image-size=160", "image_size", 160),
        ("image_size=128x256", "image_size", (128, 256)),
        ("optimizer=sgd", "optimizer", "sgd"),
        ("horizontal_flip=false", "horizontal_flip", False),
        ("crop_scale=0.5,1", "crop_scale", [0.5, 1]),
        ("crop_scale=[0.5, 1]", "crop_scale", [0.5, 1]),
        ("learning_rate = 1e-3", "learning_rate", 1e-3),
        ("weights=runs,1/x.npz", "weights", "runs,1/x.npz"),
        ("weights=2024", "weights", "2024"),
        ("weights=64x64", "weights", "64x64"),
        ("weights='a b.npz'", "weights", "a b.npz"),
    ],
)
def test_a_setting_is_read_as_its_fields_type(setting: str, field: str, value: object) -> None:
    assert parse_setting(setting) == (field, value)
    Recipe().changed(dict([parse_setting(setting)]))


def test_all_faults_come_in_one_message() -> None:
    wrong = {
        "batch_size": 0,
        "dropout": 1.5,
        "image_size": 0,
        "crop_scale": [0.9, 0.1],
        "test": 0.9,
    }
    with pytest.raises(RecipeError) as caught:
        Recipe().changed(wrong)
    assert "5 fault(s)" in str(caught.value)
    for name in wrong:
        assert f"{name} is" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", "many"), ("epochs", 1.5), ("epochs", True), ("optimizer", "lion"),
        ("horizontal_flip", 1), ("image_size", (1, 2, 3)), ("weights", 5), ("crop_ratio", (1,)),
        *((field, value) for value in (float("inf"), float("nan")) for field in FLOATS),
        ("crop_ratio", (0.5, float("inf"))), ("crop_scale", (float("nan"), 1.0)),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused(field: str, value: object) -> None:
    with pytest.raises(RecipeError, match=field):
        Recipe().changed({field: value})


def test_unknown_names_suggest_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean epochs"):
        parse_setting("epoch=3")
    with pytest.raises(UnknownNameError, match="did you mean pplcnet_x0_5"):
        Recipe().changed({"model": "pplcnet_0_5"})
    with pytest.raises(RecipeError, match="field=value"):
        parse_setting("epochs")
    (tmp_path / "r.toml").write_text("epochs = = 3")
    with pytest.raises(RecipeError, match="not readable as TOML"):
        Recipe.from_toml(tmp_path / "r.toml")
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.from_toml(tmp_path / "absent.toml")


def test_the_learning_rate_follows_the_batch() -> None:
    for optimizer, exponent in (("sgd", 1.0), ("adamw", 0.5)):
        small, large = (
            Recipe(optimizer=optimizer, learning_rate=1.0, batch_size=size).peak_learning_rate
            for size in (32, 256)
        )
        assert large == 1.0
        assert small == pytest.approx((1 / 8) ** exponent)


@pytest.mark.parametrize("name", named_recipes())
def test_a_named_recipe_says_what_it_is_for_and_reached(name: str) -> None:
    recipe = Recipe.named(name)
    assert recipe != Recipe()
    header = (RECIPES / f"{name}.toml").read_text().split("\n\n")[0]
    # What trains no classifier to keep, or was not trained here, says that in place of a figure.
    reached = {
        "imagenet": ("--recipe imagenet", "Not run by this project"),
        "suspects": ("pplcnet suspects", "minutes"),
    }
    for word in reached.get(name, (f"--recipe {name}", "test top-1 0.", "minute")):
        assert word in header


def test_an_unknown_recipe_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean finetune"):
        Recipe.named("fintune")


def test_training_with_weights_starts_from_the_recipe_for_that(tmp_path: Path) -> None:
    def recipe(*arguments: str) -> Recipe:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return read_recipe(parser.parse_args(["photos", "--out", "run", *arguments]))

    finetune = Recipe.named("finetune")
    assert recipe() == Recipe()
    assert recipe("--weights", "w.npz") == finetune.changed({"weights": "w.npz"})
    assert recipe("--set", "weights=w.npz", "--epochs", "3") == finetune.changed(
        {"weights": "w.npz", "epochs": 3}
    )
    own = tmp_path / "own.toml"
    own.write_text("epochs = 7")
    assert recipe("--weights", "w.npz", "--recipe", str(own)).head_epochs == 0
    assert recipe("--recipe", "tiny").model == "pplcnet_x0_25"
    with pytest.raises(UnknownNameError, match="did you mean tiny"):
        recipe("--recipe", "tinny")
    with pytest.raises(RecipeError, match="cannot be read"):
        recipe("--recipe", "absent.toml")
