"""Check arguments of Python calls: counts, numbers and fractions."""

from __future__ import annotations

import math
import numbers

from pplcnet.errors import InputError

__all__ = ["check_count", "check_number", "check_share"]


def check_count(value: object, name: str, *, least: int = 0) -> None:
    """Raise InputError unless the value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number of at least {least}.")


def check_number(value: object, name: str) -> None:
    """Raise InputError unless the value is a number; NaN is not."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or math.isnan(float(value)):
        raise InputError(f"{name} is {value!r}; it must be a number.")


def check_share(value: object, name: str) -> None:
    """Raise InputError unless the value is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise InputError(f"{name} is {value!r}; it must be a number from 0 to 1.")
