"""Values of recipe fields: how TOML is read and written, and of which type they may be."""

from __future__ import annotations

import json
import math
import reprlib
import tomllib
import types
import typing
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pplcnet.errors import RecipeError

__all__ = [
    "is_text",
    "parse_toml",
    "read_toml",
    "shaped",
    "shown_value",
    "toml_value",
    "type_problem",
]

SIZE_LIMIT = 1 << 16
DOTS_LIMIT = 64
"""In a line: Python's reader of TOML takes quadratic time for keys such as a.b.c."""
LARGEST = 2**53
"""Above it whole numbers are no floating-point numbers any more, and no field needs them."""
TEXT_LIMIT = 4096


def read_toml(path: str | PathLike[str]) -> dict[str, Any]:
    """The values of a TOML file; RecipeError when it cannot be read."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise RecipeError(f"{path}: is not a file; a recipe is a TOML file.")
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except ValueError as error:  # a name with a null byte
        raise RecipeError(f"{str(path)!r}: cannot be read ({error}).") from error
    if len(content) > SIZE_LIMIT:
        raise RecipeError(f"{path}: is larger than {SIZE_LIMIT:,} bytes, too large for a recipe.")
    try:
        return parse_toml(content.decode("utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path}: not readable as TOML ({error}).") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text; ValueError when it is not one, too large, or nested too deeply."""
    if len(text) > SIZE_LIMIT:
        raise ValueError(f"it has more than {SIZE_LIMIT:,} characters")
    if any(line.count(".") > DOTS_LIMIT for line in text.split("\n")):
        raise ValueError(f"a line has more than {DOTS_LIMIT} dots")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


class _Short(reprlib.Repr):
    """`repr`, cut where a value is long; of a huge number, its size."""

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if abs(x) < 10**30 else f"a number of {x.bit_length()} bits"


_short = _Short()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxtuple = _short.maxdict = 8
_short.maxlevel = 3


def shown_value(value: Any) -> str:
    """A value as a message shows it, of whatever size it is."""
    return _short.repr(value)


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
        return float(value) if abs(value) <= LARGEST else value
    return value


def type_problem(value: Any, hint: Any) -> str | None:
    """What is wrong with a value's type, or None."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        is_allowed = isinstance(value, str) and value in arguments
        return None if is_allowed else f"allowed are {', '.join(map(str, arguments))}"
    if origin is tuple:
        number = all(
            isinstance(each, int if arguments[0] is int else int | float)
            and not isinstance(each, bool)
            for each in (value if isinstance(value, tuple) else ())
        )
        if not isinstance(value, tuple) or len(value) != len(arguments) or not number:
            # The only pairs of whole numbers are image sizes, which may be one number.
            one_or_two = "a whole number, or two (height, width)"
            return (
                f"it must be {one_or_two if arguments[0] is int else f'{len(arguments)} numbers'}"
            )
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
    if isinstance(value, int | float) and abs(value) > LARGEST:
        return f"it must be a number of at most {LARGEST:,}"
    if isinstance(value, str) and (len(value) > TEXT_LIMIT or "\0" in value):
        return f"it must be text of at most {TEXT_LIMIT} characters, without null bytes"
    return None


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for the delete character, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return repr(value)
