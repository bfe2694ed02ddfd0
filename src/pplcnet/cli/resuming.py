"""--resume: photos and recipe come from the run; anything given in addition must agree with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pplcnet.errors import InputError, PPLCNetError, RecipeError
from pplcnet.recipe.fields import field_types
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import AUTO
from pplcnet.recipe.task_options import TaskOptions, known_options
from pplcnet.recipe.values import shown_value

__all__ = ["check_given", "recorded_photos", "recorded_recipe", "recorded_run"]


def recorded_run(out: str, kind: str) -> dict[str, Any]:
    """The run.json of the run in `out`; InputError if there is none of this kind."""
    from pplcnet.runs.folder import RunFolder

    folder = RunFolder(Path(out), kind)
    with folder.opened():
        return folder.recorded()


def recorded_photos(out: str, run: Mapping[str, Any]) -> str:
    """Where the run's photos were last time; InputError if they are no longer there."""
    photos = str(run["photos"])
    if not os.path.exists(photos):
        raise InputError(
            f"{out}: the run's photos are no longer at {photos}; if they were moved, give their "
            "new path as PHOTOS."
        )
    return photos


def recorded_recipe(out: str, run: Mapping[str, Any], options: type[TaskOptions]) -> Recipe:
    """The recipe that a run was started with; InputError if this version cannot read it.

    Args:
        options: for the photos' task. Fields of other tasks had no effect and are left out.
    """
    unused = {"folds"}.union(*map(field_types, known_options())) - field_types(options).keys()
    values = {name: value for name, value in run["recipe"].items() if name not in unused}
    try:
        return Recipe(options=options()).changed({"weights": None, **values})
    except PPLCNetError as error:
        raise InputError(
            f"{Path(out) / 'run.json'}: its recipe does not fit this version of pplcnet; {error}"
        ) from error


def check_given(
    out: str, recipe: Recipe, given: Mapping[str, object], run: Mapping[str, Any]
) -> None:
    """Raise RecipeError naming the given fields whose values differ from the run's.

    Args:
        run: the run.json. Its recipe may hold fields of another task, which had no effect; given
            as they are there, they are the run's.
    """
    kept, recorded = recipe.to_dict(), run["recipe"]
    given = {
        name: value
        for name, value in given.items()
        if name in kept or name not in recorded or recorded[name] != value
    }
    wanted = recipe.changed(given).for_options(type(recipe.options))
    changed = [
        f"you gave {name}={shown_value(getattr(wanted, name))}, the run has "
        f"{shown_value(getattr(recipe, name))}"
        for name in given
        if name in kept
        and getattr(wanted, name) != getattr(recipe, name)
        and (name, getattr(wanted, name)) != ("weights", AUTO)  # the run knows what that was
    ]
    if changed:
        raise RecipeError(f"{out}: a resumed run keeps its recipe:", changed)
