"""Recipe fields from files and --set, with all errors in one message."""

from __future__ import annotations

from collections.abc import Sequence

from pplcnet.errors import InputError, RecipeError, UnknownNameError
from pplcnet.recipe.files import read_toml
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.settings import known_fields, parse_setting
from pplcnet.system.wording import counted

__all__ = ["changed_recipe", "parse_settings", "raise_faults", "read_recipe_file"]


def parse_settings(settings: Sequence[str]) -> tuple[dict[str, object], list[InputError]]:
    """The fields that are set, and the errors in the settings that could not be parsed."""
    changes: dict[str, object] = {}
    faults: list[InputError] = []
    for setting in settings:
        try:
            name, value = parse_setting(setting)
        except (RecipeError, UnknownNameError) as error:
            faults.append(error)
        else:
            changes[name] = value
    return changes, faults


def read_recipe_file(path: str) -> Recipe:
    """Like `Recipe.from_toml`, with every unknown field and every invalid value in one message."""
    known, values = known_fields(), read_toml(path)
    faults: list[InputError] = [
        UnknownNameError("recipe field", name, known) for name in values if name not in known
    ]
    given = {name: value for name, value in values.items() if name in known}
    return changed_recipe(Recipe(), given, faults)


def changed_recipe(recipe: Recipe, changes: dict[str, object], faults: list[InputError]) -> Recipe:
    """The recipe with these changes; raises the given faults and any new ones in one message."""
    try:
        recipe = recipe.changed(changes)
    except (RecipeError, UnknownNameError) as error:
        faults = [*faults, error]
    raise_faults(faults)
    return recipe


def raise_faults(faults: Sequence[InputError]) -> None:
    """Raise a single fault as it is, several in one message."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        texts = [each for error in faults for each in (error.faults or (error.summary,))]
        raise RecipeError(f"the recipe has {counted(len(texts), 'fault')}:", texts)
