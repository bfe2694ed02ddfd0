"""Types and ranges of the values of recipe fields."""

from __future__ import annotations

import math
import reprlib
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "Between",
    "Range",
    "Rising",
    "is_text",
    "part_of_sides",
    "shaped",
    "shown_value",
    "type_problem",
]

LARGEST = 2**53
"""Floats represent every integer up to here; no field needs a larger one."""
TEXT_LIMIT = 4096


class _Short(reprlib.Repr):
    """`repr`, shortened if a value is long; for a huge number, its size."""

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if abs(x) < 10**30 else f"a number of {x.bit_length()} bits"


_short = _Short()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxtuple = _short.maxdict = 8
_short.maxlevel = 3


def shown_value(value: Any) -> str:
    """A value as shown in messages, bounded in length."""
    return _short.repr(value)


def is_text(hint: Any) -> bool:
    """Whether a field of this type takes text literally."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return all(isinstance(each, str) for each in arguments)
    return hint is str or str in arguments


def shaped(name: str, value: Any, hint: Any) -> Any:
    """A plain value in the field's form: lists as tuples, one size as a square, 1 as 1.0.

    "none" means None if the field may be absent: TOML has no other way to say it.
    """
    if value == "none" and type(None) in typing.get_args(hint):
        return None
    if name.endswith("image_size") and isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, list):
        value = tuple(value)
    is_number = hint is float or float in typing.get_args(hint)
    if is_number and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) <= LARGEST else value
    return value


def type_problem(value: Any, hint: Any) -> str | None:
    """What is wrong with a value's type; None if nothing is."""
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
            # The only pairs of integers are image sizes, which may be given as one number.
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


@dataclass(frozen=True, slots=True)
class Between:
    """The numbers that a field may have; for a pair, each of them. None is always allowed."""

    low: float
    high: float
    excludes: Literal["", "low", "high", "both"] = ""
    """The end that is not allowed itself."""
    off: float | None = None
    """The value that switches the field off, allowed wherever it lies."""
    unit: str = ""

    def allows(self, value: Any) -> bool:
        """Whether a value of the field's type lies in the range."""
        if isinstance(value, tuple):
            return all(self.allows(each) for each in value)
        if value is None or value == self.off:
            return True
        is_above: bool = self.low < value if self.excludes in ("low", "both") else self.low <= value
        is_below: bool = (
            value < self.high if self.excludes in ("high", "both") else value <= self.high
        )
        return is_above and is_below

    def __str__(self) -> str:
        low, high = _number(self.low), _number(self.high)
        is_end = self.off in (self.low, self.high) and not self.excludes
        if self.excludes:
            low = f"{'above' if self.excludes in ('low', 'both') else 'at least'} {low}"
            high = f"{'below' if self.excludes in ('high', 'both') else 'at most'} {high}"
        if is_end and self.off == self.low:
            low += " (off)"
        elif is_end:
            high += " (off)"
        text = f"{low} {'and' if self.excludes else 'to'} {high}"
        if self.off is not None and not is_end:
            text = f"{_number(self.off)} (off), or {text}"
        return f"{text} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Rising:
    """A range for pairs whose second number is not below the first."""

    low: float
    high: float

    def allows(self, value: tuple[float, float]) -> bool:
        """Whether the pair is ascending and within the range."""
        return self.low <= value[0] <= value[1] <= self.high

    def __str__(self) -> str:
        return f"two rising numbers, {_number(self.low)} to {_number(self.high)}"


Range = Between | Rising


def _number(value: float) -> str:
    """The number as text, with thousands separators if it is long."""
    return f"{value:,.10g}" if abs(value) >= 10_000 else f"{value:g}"


def part_of_sides(size: tuple[int, int], part: float) -> tuple[int, int]:
    """A fraction of both sides of an input, in multiples of 32, except for the full size."""
    if part == 1:
        return size
    height, width = (min(side, max(32, round(side * part / 32) * 32)) for side in size)
    return height, width
