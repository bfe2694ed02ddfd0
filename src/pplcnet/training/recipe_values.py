"""Values of recipe fields: of which type they may be, and how TOML writes them."""

from __future__ import annotations

import math
import types
import typing
from typing import Any, Literal

__all__ = ["is_text", "shaped", "toml_value", "type_problem"]


def is_text(hint: Any) -> bool:
    """Whether a field of this type takes text as it stands."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return all(isinstance(each, str) for each in arguments)
    return hint is str or str in arguments


def shaped(name: str, value: Any, hint: Any) -> Any:
    """A plain value as the field holds it: lists as tuples, one size as a square, 1 as 1.0."""
    if name.endswith("image_size") and isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, list):
        value = tuple(value)
    is_number = hint is float or float in typing.get_args(hint)
    if is_number and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def type_problem(value: Any, hint: Any) -> str | None:
    """What is wrong with a value's type, or None."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return None if value in arguments else f"allowed are {', '.join(map(str, arguments))}"
    if origin is tuple:
        number = all(
            isinstance(each, int if arguments[0] is int else int | float)
            and not isinstance(each, bool)
            for each in (value if isinstance(value, tuple) else ())
        )
        if not isinstance(value, tuple) or len(value) != len(arguments) or not number:
            kind = "whole numbers" if arguments[0] is int else "numbers"
            return f"it must be {len(arguments)} {kind}"
        return next((each for each in map(type_problem, value, arguments) if each), None)
    if origin is types.UnionType:
        problems = [type_problem(value, each) for each in arguments]
        return None if None in problems else problems[0]
    if hint is type(None):
        return None if value is None else "it must be absent"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        return "it must be a finite number"
    fits = isinstance(value, (int, float) if hint is float else hint)
    if not fits or (isinstance(value, bool) and hint is not bool):
        return f"it must be {names[hint]}"
    return None


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
