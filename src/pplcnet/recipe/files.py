"""Reads and writes recipes as TOML, and finds the recipes that come with pplcnet."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.errors import RecipeError, UnknownNameError

__all__ = ["named_recipes", "parse_toml", "read_toml", "recipe_path", "toml_text"]

SIZE_LIMIT = 1 << 16
DOTS_LIMIT = 64
"""Limit per line: Python's TOML reader takes quadratic time for keys such as a.b.c."""
_NAMED = Path(__file__).parent
_FROM_SCRATCH = "# weights ="


def named_recipes() -> list[str]:
    """Names of the recipes that come with pplcnet; each file states its purpose and results."""
    return sorted(path.stem for path in _NAMED.glob("*.toml"))


def recipe_path(name: str) -> Path:
    """The path of a recipe that comes with pplcnet; UnknownNameError lists them."""
    if name not in named_recipes():
        raise UnknownNameError("recipe", name, named_recipes())
    return _NAMED / f"{name}.toml"


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
    except ValueError as error:  # a path with a null byte
        raise RecipeError(f"{str(path)!r}: cannot be read ({error}).") from error
    if len(content) > SIZE_LIMIT:
        raise RecipeError(f"{path}: is larger than {SIZE_LIMIT:,} bytes, too large for a recipe.")
    try:
        text = content.decode("utf-8")
        values = parse_toml(text)
    except ValueError as error:
        raise RecipeError(f"{path}: not readable as TOML ({error}).") from error
    # Versions before 0.3 wrote this for a run from scratch, which was the default then.
    return {"weights": "none", **values} if _FROM_SCRATCH in text.splitlines() else values


def parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text; ValueError if it is invalid, too large, or nested too deeply."""
    if len(text) > SIZE_LIMIT:
        raise ValueError(f"it has more than {SIZE_LIMIT:,} characters")
    if any(line.count(".") > DOTS_LIMIT for line in text.split("\n")):
        raise ValueError(f"a line has more than {DOTS_LIMIT} dots")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def toml_text(values: Mapping[str, Any], explanations: Mapping[str, str]) -> str:
    """Plain values as TOML, each below its explanation; None is left out."""
    lines = []
    for name, value in values.items():
        lines += [f"# {line}" for line in explanations[name].splitlines()]
        lines += [f"# {name} =" if value is None else f"{name} = {_toml_value(value)}", ""]
    return "\n".join(lines)


def _toml_value(value: Any) -> str:
    """A value in TOML's notation."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(each) for each in value)}]"
    if isinstance(value, str):
        # JSON's escapes are valid in TOML, except that TOML requires the delete character escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return repr(value)
