"""Recipe fields on the command line: parsing and help."""

from __future__ import annotations

from typing import Any, get_args

from pplcnet.errors import RecipeError, UnknownNameError
from pplcnet.recipe.fields import explanations, field_types
from pplcnet.recipe.files import parse_toml
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.task_options import known_options
from pplcnet.recipe.values import is_text

__all__ = ["field_defaults", "field_help", "known_fields", "parse_setting"]


def known_fields() -> dict[str, Any]:
    """The fields of all tasks, with their types."""
    types = dict(field_types(Recipe))
    for kind in known_options():
        types = {**field_types(kind), **types}
    return types


def field_help() -> dict[str, str]:
    """The explanation of every field, those shared by all tasks first."""
    texts, kinds = explanations(Recipe), known_options()
    of_all = {name: texts[name] for name in field_types(Recipe)}
    of_some: dict[str, str] = {}
    for kind in kinds:
        for name, text in explanations(kind).items():
            owners = [each.data for each in kinds if name in field_types(each)]
            if len(owners) == len(kinds):
                of_all.setdefault(name, text)
            else:
                of_some.setdefault(name, f"Only for {' and '.join(owners)} data. {text}")
    return {**of_all, **of_some}


def field_defaults(recipe: Recipe) -> dict[str, Any]:
    """A recipe's value of every field; those of other tasks have their defaults."""
    values: dict[str, Any] = {}
    for kind in known_options():
        values = {**Recipe(options=kind()).to_dict(), **values}
    return {**values, **recipe.to_dict()}


def parse_setting(setting: str) -> tuple[str, Any]:
    """Parse `field=value` from the command line into the name and the typed value.

    Text is taken literally; any other value is parsed as TOML. `160` and `128x256` are sizes.
    """
    types = known_fields()
    name, separator, text = setting.partition("=")
    name, text = name.strip().replace("-", "_"), text.strip()
    if not separator:
        raise RecipeError(f"{setting!r} is not of the form field=value.")
    if name not in types:
        raise UnknownNameError("recipe field", name, types)
    if text == "none" and type(None) in get_args(types[name]):
        return name, None
    if is_text(types[name]):
        return name, text[1:-1] if text[:1] == text[-1:] in ('"', "'") and len(text) > 1 else text
    height, cross, width = text.partition("x")
    if cross and all(side.isdecimal() and len(side) < 10 for side in (height, width)):
        return name, (int(height), int(width))
    if "," in text and not text.startswith("["):
        text = f"[{text}]"
    try:
        values = parse_toml(f"value = {text}")
    except ValueError:
        return name, text
    return name, values["value"] if len(values) == 1 else text
