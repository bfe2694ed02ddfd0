"""Which recipe fields a search changes, and between what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pplcnet.recipe.recipe import Recipe

__all__ = ["FIELDS", "Field", "ranges_of", "stored_fields"]


class Field(NamedTuple):
    """One number that is searched, and how the recipe holds it."""

    value: Callable[[Recipe], float]
    """What the recipe has."""
    low: Callable[[Recipe], float]
    high: Callable[[Recipe], float]
    logarithmic: bool = False
    stored: Callable[[float, Recipe], Any] = lambda value, recipe: value
    """The number as the recipe's field."""

    def limits(self, recipe: Recipe) -> tuple[float, float] | None:
        """Lowest and highest value, the recipe's among them; None where it cannot be searched."""
        value = self.value(recipe)
        low, high = min(self.low(recipe), value), max(self.high(recipe), value)
        # What is switched off with 0 has no place on a logarithmic scale, and stays off.
        return None if low == high or (self.logarithmic and low <= 0) else (low, high)


def _learning_rate(recipe: Recipe) -> float:
    """The peak for a batch of 256, the optimizer's default where the recipe says nothing."""
    if recipe.learning_rate is not None:
        return recipe.learning_rate
    scale = recipe.changed({"learning_rate": 1.0}).peak_learning_rate
    return float(f"{recipe.peak_learning_rate / scale:.6g}")


FIELDS: Mapping[str, Field] = {
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
    "label_smoothing": Field(
        lambda recipe: recipe.label_smoothing, lambda recipe: 0.0, lambda recipe: 0.2
    ),
    "dropout": Field(lambda recipe: recipe.dropout, lambda recipe: 0.0, lambda recipe: 0.5),
    "crop_scale": Field(
        lambda recipe: recipe.crop_scale[0],
        lambda recipe: min(0.2, recipe.crop_scale[1]),
        lambda recipe: recipe.crop_scale[1],
        stored=lambda value, recipe: (min(value, recipe.crop_scale[1]), recipe.crop_scale[1]),
    ),
}
"""What is searched; a row more is a field more."""


def ranges_of(recipe: Recipe) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of every field that can be searched with this recipe."""
    found = {name: field.limits(recipe) for name, field in FIELDS.items()}
    if recipe.multilabel_loss == "asymmetric":
        found["label_smoothing"] = None  # that loss takes none
    return {name: limits for name, limits in found.items() if limits is not None}


def stored_fields(numbers: Mapping[str, float], recipe: Recipe) -> dict[str, Any]:
    """Recipe fields of a trial's numbers, to three digits (more would claim too much)."""
    fields = {}
    for name, number in numbers.items():
        field = FIELDS[name]
        is_own = number == field.value(recipe)
        fields[name] = field.stored(number if is_own else float(f"{number:.3g}"), recipe)
    return fields
