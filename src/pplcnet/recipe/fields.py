"""The fields of a recipe's dataclasses: their declared types, ranges and explanations."""

from __future__ import annotations

import ast
import inspect
import itertools
import typing
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any, Literal, NamedTuple

from pplcnet.recipe.values import Range, shown_value, type_problem

__all__ = [
    "INTERNAL",
    "Need",
    "Searched",
    "explanations",
    "field_types",
    "metadata",
    "range_faults",
    "type_faults",
]


INTERNAL = {"is_internal": True}
"""Metadata of a dataclass field that no file or option can set."""


class Need(NamedTuple):
    """Annotation of a field: a condition for it to have an effect, and a message if it is not met.

    A field may have several.
    """

    is_met: Callable[[Any, Any], bool]
    """Of the recipe and its task's options."""
    reason: str


class Searched(NamedTuple):
    """Annotation of a number: `--search` tries values between these two, evenly distributed."""

    low: float
    high: float


def field_types(owner: Any) -> dict[str, Any]:
    """The type of every field of the dataclass `owner`, without its annotations."""
    return _declared(owner)[0]


def metadata(owner: Any) -> dict[str, tuple[Any, ...]]:
    """The annotations of every field: what follows the type in `Annotated[type, ...]`."""
    return _declared(owner)[1]


@cache
def _declared(owner: Any) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    plain = typing.get_type_hints(owner)
    whole = typing.get_type_hints(owner, include_extras=True)
    names = [field.name for field in fields(owner) if not field.metadata.get("is_internal")]
    beside = {name: getattr(whole[name], "__metadata__", ()) for name in names}
    return {name: plain[name] for name in names}, beside


def type_faults(values: Any) -> Iterator[str]:
    """Yield a sentence for every field whose value has the wrong type."""
    for name, hint in field_types(type(values)).items():
        if problem := type_problem(getattr(values, name), hint):
            yield f"{name} is {shown_value(getattr(values, name))}; {problem}."


def range_faults(values: Any) -> Iterator[tuple[str, str]]:
    """Yield (name, requirement) of every field out of its range; types must be right."""
    for name in field_types(type(values)):
        value = getattr(values, name)
        for each in _ranges(type(values), name):
            if not each.allows(value):
                yield name, f"must be {each}"


def _ranges(owner: type[Any], name: str) -> list[Range]:
    return [each for each in metadata(owner)[name] if isinstance(each, Range)]


def explanations(owner: Any) -> dict[str, str]:
    """The explanation of every field: its docstring, allowed values and range."""
    return _explained(owner)


@cache
def _explained(owner: Any) -> dict[str, str]:
    body = next(
        each.body
        for each in ast.parse(inspect.cleandoc(inspect.getsource(owner))).body
        if isinstance(each, ast.ClassDef)
    )
    texts: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=text)):
                texts[name] = inspect.cleandoc(str(text))
    for name, hint in field_types(owner).items():
        values = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        if not all(str(value) in texts[name].lower() for value in values):
            texts[name] += f" One of {', '.join(values)}."
        for each in _ranges(owner, name):
            text = str(each)
            texts[name] += f" {text[0].upper()}{text[1:]}."
    return texts
