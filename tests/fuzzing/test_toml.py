"""Mutated recipes are read or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.recipe.files import named_recipes, recipe_path
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.settings import parse_setting
from tests.fuzzing.harness import fuzz


def read_recipe(path: Path) -> None:
    recipe = Recipe.from_toml(path)
    path.write_text(recipe.to_toml())
    assert Recipe.from_toml(path) == recipe


def read_settings(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    Recipe().changed(dict(parse_setting(each) for each in text.split("\n")))


@pytest.mark.slow
def test_mutated_recipes_are_read_or_refused(tmp_path: Path) -> None:
    seeds = {name: recipe_path(name).read_bytes() for name in named_recipes()}
    seeds["whole"] = Recipe().to_toml().encode()
    names = [f"{name} = ".encode() for name in Recipe().to_dict()]
    fuzz(read_recipe, seeds, tmp_path, suffix=".toml", tokens=[*names, b"0x", b"[[", b"1e999"])


@pytest.mark.slow
def test_mutated_settings_are_read_or_refused(tmp_path: Path) -> None:
    seeds = {
        "several": b"epochs=3\nimage_size=128x256\ncrop_scale=0.5,1\nweights='a b.npz'",
        "one": b"learning_rate=1e-3",
    }
    names = [f"{name}=".encode() for name in Recipe().to_dict()]
    fuzz(read_settings, seeds, tmp_path, tokens=[*names, b"[", b"{", b"none"])
