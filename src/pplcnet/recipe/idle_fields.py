"""Finds recipe fields that were set but have no effect, before hours of training."""

from __future__ import annotations

from collections import defaultdict

from pplcnet.recipe.fields import Need, field_types, metadata
from pplcnet.recipe.recipe import Recipe

__all__ = ["idle_fields", "unmet_need"]


def unmet_need(recipe: Recipe, name: str) -> Need | None:
    """The first unmet need of a field, which makes it ineffective; None if all are met."""
    owner = Recipe if name in field_types(Recipe) else type(recipe.options)
    needs = (each for each in metadata(owner)[name] if isinstance(each, Need))
    return next((each for each in needs if not each.is_met(recipe, recipe.options)), None)


def idle_fields(recipe: Recipe) -> list[str]:
    """A sentence for each group of fields that were set but have no effect in this run."""
    values, defaults = recipe.to_dict(), recipe.defaults().to_dict()
    idle: dict[str, list[str]] = defaultdict(list)
    for name, value in values.items():
        need = unmet_need(recipe, name) if value != defaults[name] else None
        if need is not None:
            idle[need.reason].append(name)
    return [
        f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect: {reason}"
        for reason, names in idle.items()
    ]
