"""The starts of training (the field `weights`), and the recipe that goes with each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pplcnet.errors import RecipeError
from pplcnet.recipe.fields import field_types
from pplcnet.recipe.formula_backbones import is_formula_backbone
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.task_options import TaskOptions, options_with
from pplcnet.recipe.values import shown_value

__all__ = [
    "AUTO",
    "FINETUNE",
    "FRACTAL",
    "NONE",
    "for_task",
    "has_seen_formulas",
    "named_recipe_of",
    "recipe_by_start",
    "settled",
]

AUTO = "auto"
"""The best available start; a run replaces it by the actual one before training."""
FRACTAL = "fractal"
"""The backbone that ships with pplcnet."""
NONE = "none"
"""Random values, in files and on the command line; in a recipe it is None."""

BACKBONES = ("imagenet", "imagenet-ssld", "timm")
"""Official weights of classifiers; other tasks' networks only take the backbone."""
FINETUNE = "finetune"
"""The named recipe for official weights, bundles and files pretrained on photos."""


def named_recipe_of(weights: str | None, kind: type[TaskOptions] | None = None) -> str | None:
    """The named recipe that goes with a start; None for the fields' own defaults.

    The defaults also apply while the start is not known (auto).

    Args:
        kind: the options of the data's task, if known; it may have its own recipe.
    """
    if kind is not None and kind.named_recipe is not None:
        if weights is None or weights in BACKBONES or has_seen_formulas(weights):
            return kind.scratch_recipe or kind.named_recipe
        return kind.named_recipe
    if weights in (None, AUTO):
        return None
    return FRACTAL if has_seen_formulas(weights) else FINETUNE


def has_seen_formulas(weights: str | None) -> bool:
    """Whether a start was pretrained on formula pictures only: the shipped one, or such a file."""
    return weights == FRACTAL or is_formula_backbone(weights)


def recipe_by_start(values: Mapping[str, Any], kind: type[TaskOptions] | None = None) -> Recipe:
    """The recipe that goes with its start, with some fields replaced.

    If `weights` is auto, `settled` makes the final recipe once the start is known.

    Args:
        values: the given fields, possibly including `weights`.
        kind: the options of the data's task. Default: of the first task that has all the fields;
            `for_task` makes the recipe again once the task is known.

    Raises:
        RecipeError, UnknownNameError: a wrong value, or a field that does not exist.
    """
    weights = values.get("weights", AUTO)
    if kind is None:
        shared = field_types(Recipe).keys()
        own = {name: value for name, value in values.items() if name not in shared}
        kind = type(options_with(None, own, shared=shared))
    name = named_recipe_of(None if weights == NONE else weights, kind)
    base = Recipe() if name is None else Recipe.named(name)
    if kind is not None:
        base = base.for_options(kind)
    return replace(base.changed(values), given=frozenset(values))


def for_task(recipe: Recipe, kind: type[TaskOptions]) -> Recipe:
    """The recipe for a task with options of this kind.

    A recipe from `recipe_by_start` becomes the one that goes with the task, with the same fields
    replaced.

    Raises:
        RecipeError: it has fields or a network of another task.
    """
    if recipe.given is None or type(recipe.options).named_recipe == kind.named_recipe:
        recipe = recipe.for_options(kind)
    else:
        values = {name: getattr(recipe, name) for name in recipe.given}
        recipe = recipe_by_start(values, kind).for_options(kind)
    if recipe.model not in kind.networks:
        fault = (
            f"model is {shown_value(recipe.model)}, which is not for {kind.data} data; 'pplcnet "
            "models' lists the networks."
        )
        raise RecipeError("the recipe has 1 fault:", [fault])
    return recipe


def settled(recipe: Recipe, weights: str | None) -> Recipe:
    """The recipe with `weights` in place of auto; any other recipe unchanged.

    A recipe from `recipe_by_start` becomes the one that goes with this start, with the same fields
    replaced.

    Raises:
        RecipeError: its fields do not fit this start.
    """
    if recipe.weights != AUTO:
        return recipe
    if recipe.given is None:
        return recipe.changed({"weights": weights})
    values = {name: getattr(recipe, name) for name in recipe.given}
    return recipe_by_start({**values, "weights": weights}, type(recipe.options))
