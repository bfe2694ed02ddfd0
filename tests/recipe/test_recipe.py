"""The recipe: every field explained, every fault at once, the same from file, options and --set."""

from __future__ import annotations

import argparse
import copy
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_origin

import pytest

import pplcnet.recipe
from pplcnet.cli.train import add_arguments, read_recipe
from pplcnet.errors import RecipeError, UnknownNameError
from pplcnet.recipe.files import named_recipes
from pplcnet.recipe.idle_fields import idle_fields
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.settings import field_help, known_fields, parse_setting
from pplcnet.tasks import TASKS, options_of

RECIPES = Path(pplcnet.recipe.__file__).parent


FLOATS = [
    name
    for name, hint in known_fields().items()
    if hint is float or (float in get_args(hint) and get_origin(hint) is not tuple)
]


def test_every_field_is_explained() -> None:
    texts = field_help()
    assert set(texts) == set(known_fields())
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
    assert "5 faults:" in str(caught.value)
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
        "fractal": ("--recipe fractal", "--weights fractal"),
        "suspects": ("pplcnet suspects", "minutes"),
        "picodet": ("--recipe picodet", "Not run by this project"),
        "mobileseg": ("--recipe mobileseg", "Not run by this project"),
        "mobileseg-finetune": ("--model mobileseg_pplcnet_x0_5", "test mIoU 0.", "minutes"),
        "picodet-finetune": ("--weights coco", "test AP 0.", "minutes"),
        "picodet-scratch": ("--weights fractal", "test AP 0.", "minutes"),
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


HUGE = 10**400


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, HUGE) for name in ("epochs", "seed", "batch_size", "learning_rate", "mixup")),
        ("image_size", HUGE), ("crop_ratio", [0.5, HUGE]), ("crop_scale", [HUGE, HUGE]),
        ("learning_rate", -HUGE), ("epochs", 16**5000), ("epochs", 10_000_000),
        ("weight_decay", 1e308), ("crop_ratio", [1e-300, 1.0]), ("workers", 10**6),
        ("optimizer", ["sgd"]), ("optimizer", {"sgd": 1}), ("model", [[[[1]]]]),
        ("weights", "a\0b"), ("weights", "x" * 100_000), ("teacher", "y" * 100_000),
    ],
    ids=lambda each: str(type(each).__name__),
)  # fmt: skip
def test_values_of_absurd_size_are_refused_in_a_few_words(field: str, value: object) -> None:
    with pytest.raises(RecipeError, match=field) as caught:
        Recipe().changed({field: value})
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text",
    [
        "epochs = " + "9" * 400, "epochs = " + "9" * 5000, "epochs = 0x" + "f" * 5000,
        "crop_scale = " + "[" * 100_000, "a = " + "{b = " * 50_000, "a." * 50_000 + "b = 1",
        "[" * 100_000, "epochs = 1979-05-27", "x" * (2 << 20), "\x00", "epochs = [[[[[1]]]]]",
    ],
    ids=[
        "400 digits", "5000 digits", "hexadecimal", "deep arrays", "deep tables", "dotted keys",
        "brackets", "a date", "megabytes", "a null byte", "arrays",
    ],
)  # fmt: skip
def test_toml_of_any_kind_is_a_recipe_or_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises((RecipeError, UnknownNameError)) as caught:
        Recipe.from_toml(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("place", ["", "a\0b", "x" * 300])
def test_a_recipe_that_is_no_file_is_named(tmp_path: Path, place: str) -> None:
    with pytest.raises(RecipeError, match=r"is not a file|cannot be read"):
        Recipe.from_toml(f"{tmp_path}/{place}")


@pytest.mark.parametrize(
    "setting",
    ["epochs=" + "9" * 5000, "crop_scale=" + "[" * 100_000, "image_size=" + "9" * 5000 + "x3"],
    ids=["digits", "brackets", "size"],
)
def test_settings_of_absurd_size_are_refused(setting: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe().changed(dict([parse_setting(setting)]))
    assert len(str(caught.value)) < 600


def test_text_survives_its_file_whatever_is_in_it(tmp_path: Path) -> None:
    recipe = Recipe(weights='a\nb\t\x01\x7f"\\\u2028é.npz')
    (tmp_path / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.from_toml(tmp_path / "recipe.toml") == recipe


ONE, MANY = "classification", "multilabel"


@pytest.mark.parametrize(
    ("changes", "task", "named"),
    [
        ({"focal_gamma": 3.0}, ONE, "focal_gamma"),
        ({"augment_magnitude": 9}, ONE, "augment_magnitude"),
        ({"augment_operations": 3, "augment": "trivialaugment"}, ONE, "augment_operations"),
        ({"multilabel_loss": "asymmetric", "label_smoothing": 0.1}, MANY, "label_smoothing"),
        ({"distillation": "mutual", "distillation_temperature": 2.0}, ONE,
         "distillation_temperature"),
        ({"resize": "stretch", "crop_fraction": 0.9}, ONE, "crop_fraction"),
        ({"weights": "x", "freeze": "trunk", "layer_decay": 0.5}, ONE, "layer_decay"),
        ({"weights": "x", "freeze": "trunk", "crop_scale": (0.2, 1.0)}, ONE, "crop_scale"),
        ({"focal_gamma": 3.0, "loss": "focal"}, ONE, None),
        ({"augment_magnitude": 9, "augment": "randaugment"}, ONE, None),
        ({"multilabel_loss": "asymmetric"}, MANY, None),
    ],
)  # fmt: skip
def test_fields_without_effect_are_named(changes, task: str, named: str | None) -> None:
    said = idle_fields(Recipe().changed(changes).for_options(options_of(task)))
    assert [line.split(":")[0] for line in said] == ([f"{named} has no effect"] if named else [])


@pytest.mark.parametrize(
    ("changes", "task", "said"),
    [
        ({"multilabel_loss": "asymmetric"}, "classification",
         ["multilabel_loss is for multi-label data; this is single-label data."]),
        ({"focal_gamma": 3.0, "loss": "focal"}, "multilabel",
         ["loss is for single-label data; this is multi-label data.",
          "focal_gamma is for single-label data; this is multi-label data."]),
    ],
)  # fmt: skip
def test_fields_of_another_task_are_refused(changes, task: str, said: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe().changed(changes).for_options(options_of(task))
    for line in said:
        assert line in str(caught.value)


def test_fields_of_different_tasks_are_refused_before_the_photos_are_known() -> None:
    with pytest.raises(RecipeError, match="fields of different tasks") as caught:
        Recipe(loss="focal", multilabel_loss="asymmetric", epochs=3)
    assert "loss is for single-label data" in str(caught.value)
    assert "multilabel_loss is for multi-label data" in str(caught.value)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", named_recipes())
def test_a_named_recipe_is_for_every_task(name: str, task: str) -> None:
    named = Recipe.named(name)
    recipe = named.for_options(options_of(task))
    assert type(recipe.options) is options_of(task)
    kept = recipe.to_dict().keys() & named.to_dict().keys()
    assert {"epochs", "learning_rate", "warmup_epochs", "batch_size"} <= kept
    for field in kept:
        assert getattr(recipe, field) == getattr(named, field), field
    # A recipe of a task's own has fields that the other tasks leave out.
    own = named.options.given().keys()
    assert own <= kept or name.startswith("mobileseg") or task not in (ONE, MANY)
    assert name != "finetune" or ("label_smoothing" in kept) is (task in (ONE, MANY))


def test_a_recipe_in_full_names_the_fields_of_every_task(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('loss = "cross-entropy"\nmultilabel_loss = "asymmetric"\nmixup = 0\n')
    recipe = Recipe.from_toml(path)
    assert (recipe.multilabel_loss, recipe.mixup) == ("asymmetric", 0.0)
    path.write_text('loss = "focal"\nmultilabel_loss = "bce"\nmixup = 1\n')
    assert (Recipe.from_toml(path).loss, Recipe.from_toml(path).mixup) == ("focal", 1.0)


def test_a_recipe_is_copied_with_its_task(tmp_path: Path) -> None:
    recipe = Recipe(multilabel_loss="asymmetric", mixup=0.2)
    assert pickle.loads(pickle.dumps(recipe)) == copy.deepcopy(recipe) == recipe
    assert replace(recipe, epochs=3, mixup=0.1).changed({"mixup": 0.2, "epochs": 20}) == recipe


@pytest.mark.parametrize("name", ["options", "preset", "self", "field_of_nothing"])
def test_what_is_no_field_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError, match="recipe field"):
        Recipe().changed({name: 1})


@pytest.mark.parametrize(
    ("field", "value", "demand"),
    [
        ("epochs", 0, "1 to 1,000,000"), ("dropout", 1.0, "at least 0 and below 1"),
        ("ema", 1.0, "0 (off), or above 0 and below 1"),
        ("mixup", 1e-9, "0 (off), or 0.001 to 100"),
        ("progressive_resizing", 0.1, "0.25 to 1 (off)"), ("image_size", 5000, "1 to 4096 pixels"),
        ("crop_scale", (0.9, 0.1), "two rising numbers, 0.0001 to 1"),
        ("layer_decay", 0.0, "above 0 and at most 1"), ("learning_rate", 0.0, "above 0 and below"),
    ],
)  # fmt: skip
def test_the_range_is_in_the_message_and_in_the_help(field: str, value, demand: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"; it must be {demand}")):
        Recipe().changed({field: value})
    assert f"{demand[0].upper()}{demand[1:]}" in field_help()[field]


def test_the_last_epoch_has_the_whole_size() -> None:
    for epochs in (1, 2, 5):
        recipe = Recipe(epochs=epochs, warmup_epochs=0, progressive_resizing=0.5)
        assert recipe.size_in_epoch(epochs - 1) == (224, 224)


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
