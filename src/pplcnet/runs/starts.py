"""What the network of a run starts from: found when the run begins, kept when it resumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import AUTO, settled
from pplcnet.weights.fetching import weights_path
from pplcnet.weights.starts import Start, find_start

__all__ = ["recorded_start", "settle_start", "weights_of"]


def weights_of(recipe: Recipe) -> list[Path]:
    """The file that a recipe starts from, fetched if need be; empty for random values."""
    return [] if recipe.weights is None else [weights_path(recipe.model, recipe.weights)]


def recorded_start(run: Mapping[str, Any]) -> Start:
    """What a run started from, by its run.json; runs made before starts were recorded have none."""
    return Start.from_facts(run.get("start"), run["recipe"].get("weights"))


def settle_start(
    recipe: Recipe,
    before: Mapping[str, Any] | None,
    say: Callable[[str], None],
    *,
    is_needed: bool = True,
) -> tuple[Recipe, Start]:
    """The recipe with the start that it trains from, which is there; auto is replaced.

    Args:
        before: the run.json of the run that is resumed, whose start auto then means.
        say: told what a new run starts from.
        is_needed: False where the network is in a checkpoint already.

    Raises:
        WeightsError, InputError: weights that are demanded and not to be had.
        RecipeError: the recipe does not go with the start that was found.
    """
    if before is None:
        start = find_start(recipe.model, recipe.weights)
        say(f"start: {start.describe()}")
        return settled(recipe, start.weights), start
    start = recorded_start(before)
    weights = start.weights if recipe.weights == AUTO else recipe.weights
    recipe = settled(recipe, weights)
    if is_needed:
        weights_of(recipe)
    return recipe, start
