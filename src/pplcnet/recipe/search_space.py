"""The recipe fields that a search varies, and their ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pplcnet.recipe.fields import Searched, metadata
from pplcnet.recipe.idle_fields import unmet_need
from pplcnet.recipe.recipe import Recipe

__all__ = ["Field", "ranges_of", "searched_fields", "stored_fields"]


class Field(NamedTuple):
    """One number that is searched, and its conversion to and from a recipe field."""

    value: Callable[[Recipe], float]
    """The recipe's value as a number."""
    low: Callable[[Recipe], float]
    high: Callable[[Recipe], float]
    logarithmic: bool = False
    stored: Callable[[float, Recipe], Any] = lambda value, recipe: value
    """Converts the number to the recipe's field."""

    def limits(self, recipe: Recipe) -> tuple[float, float] | None:
        """Lowest and highest value, including the recipe's; None if it cannot be searched."""
        value = self.value(recipe)
        low, high = min(self.low(recipe), value), max(self.high(recipe), value)
        # A field that is off at 0 has no place on a logarithmic scale, and stays off.
        return None if low == high or (self.logarithmic and low <= 0) else (low, high)


def _learning_rate(recipe: Recipe) -> float:
    """The peak learning rate for a batch of 256. ValueError if the recipe leaves it open."""
    if recipe.learning_rate is None:
        raise ValueError("the recipe leaves its learning rate open; adapt it first")
    return recipe.learning_rate


OPTIMIZER: Mapping[str, Field] = {
    "learning_rate": Field(
        _learning_rate,
        lambda recipe: _learning_rate(recipe) / 8,
        lambda recipe: _learning_rate(recipe) * 4,
        logarithmic=True,
    ),
    "weight_decay": Field(
        lambda recipe: recipe.decay,
        lambda recipe: recipe.decay / 10,
        lambda recipe: recipe.decay * 10,
        logarithmic=True,
    ),
}
CROPS: Mapping[str, Field] = {
    "crop_scale": Field(
        lambda recipe: recipe.crop_scale[0],
        lambda recipe: min(0.2, recipe.crop_scale[1]),
        lambda recipe: recipe.crop_scale[1],
        stored=lambda value, recipe: (min(value, recipe.crop_scale[1]), recipe.crop_scale[1]),
    ),
}
"""Fields whose range depends on the recipe; the others are annotated with `Searched`."""


def searched_fields(recipe: Recipe) -> dict[str, Field]:
    """Every searched field, in the order in which values are drawn."""
    plain = {
        name: _plain_field(name, each)
        for owner in (type(recipe.options), Recipe)
        for name, beside in metadata(owner).items()
        for each in beside
        if isinstance(each, Searched)
    }
    return {**OPTIMIZER, **plain, **CROPS}


def _plain_field(name: str, searched: Searched) -> Field:
    return Field(
        lambda recipe: float(getattr(recipe, name)),
        lambda recipe: searched.low,
        lambda recipe: searched.high,
    )


def ranges_of(recipe: Recipe) -> dict[str, tuple[float, float]]:
    """(lowest, highest) value of every field that can be searched with this recipe."""
    found = {
        name: field.limits(recipe)
        for name, field in searched_fields(recipe).items()
        if unmet_need(recipe, name) is None
    }
    return {name: limits for name, limits in found.items() if limits is not None}


def stored_fields(numbers: Mapping[str, float], recipe: Recipe) -> dict[str, Any]:
    """A trial's numbers as recipe fields, to three digits (more would be false precision)."""
    fields, stored = searched_fields(recipe), {}
    for name, number in numbers.items():
        is_own = number == fields[name].value(recipe)
        stored[name] = fields[name].stored(number if is_own else float(f"{number:.3g}"), recipe)
    return stored
