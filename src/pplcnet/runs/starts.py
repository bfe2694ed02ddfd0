"""The starting weights of a run: found when it starts, kept when it resumes."""

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
    """The weights file that a recipe starts from, downloaded if needed; empty for random values."""
    return [] if recipe.weights is None else [weights_path(recipe.model, recipe.weights)]


def recorded_start(run: Mapping[str, Any]) -> Start:
    """The start recorded in a run.json; runs from before starts were recorded have none."""
    return Start.from_facts(run.get("start"), run["recipe"].get("weights"))


def settle_start(
    recipe: Recipe,
    before: Mapping[str, Any] | None,
    say: Callable[[str], None],
    *,
    is_needed: bool = True,
) -> tuple[Recipe, Start]:
    """The recipe with auto replaced by an available start, and that start.

    Args:
        before: the run.json of the run to resume; auto then means its start.
        say: called with a line about what a new run starts from.
        is_needed: False if the network is already in a checkpoint.

    Raises:
        WeightsError, InputError: the requested weights are not available.
        RecipeError: the recipe does not fit the start that was found.
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
