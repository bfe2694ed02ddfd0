"""What a search may change, and within which range."""

from __future__ import annotations

import pytest

from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.search_space import ranges_of, searched_fields


def test_the_ranges_hold_the_recipe_and_make_recipes() -> None:
    for changes in ({}, {"optimizer": "adamw"}, {"crop_scale": [0.1, 0.1], "dropout": 0.8}):
        recipe = adapted(Recipe().changed(changes), 500)
        for name, field in searched_fields(recipe).items():
            limits = field.limits(recipe)
            if limits is None:
                continue
            assert limits[0] <= field.value(recipe) <= limits[1]
            for each in limits:
                recipe.changed({name: field.stored(each, recipe)})
    own = Recipe(learning_rate=3.2)
    assert searched_fields(own)["learning_rate"].limits(own) == pytest.approx((0.4, 12.8))
    assert searched_fields(own)["weight_decay"].limits(Recipe(weight_decay=0.0)) is None


def test_what_the_asymmetric_loss_does_not_use_is_not_searched() -> None:
    plain, asymmetric = Recipe(), Recipe(multilabel_loss="asymmetric")
    assert "label_smoothing" in ranges_of(adapted(plain, 500))
    assert "label_smoothing" not in ranges_of(adapted(asymmetric, 500))
