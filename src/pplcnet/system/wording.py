"""Formats names, numbers and values from outside: safe on a terminal, valid as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "abbreviated",
    "counted",
    "duration",
    "format_exact",
    "format_number",
    "json_text",
    "listed",
    "printable",
]

_JOINERS = "\u200c\u200d"
"""Zero-width, but needed to spell Persian and Hindi, and for family emoji."""
_SHOWN_CATEGORIES = ("Zs", "Co", "Cn")


def printable(text: str) -> str:
    r"""One line that is safe to print on a terminal.

    Control characters (line breaks, tabs, escape sequences, C1), bidirectional overrides and other
    invisible formatting become escapes such as \x1b and \u202e; bytes of a file name that are not
    UTF-8 become \xff. Applying it twice changes nothing.
    """
    if text.isprintable():
        return text
    return "".join(each if _is_shown(each) else _escape(each) for each in text)


def _is_shown(character: str) -> bool:
    import unicodedata

    return (
        character.isprintable()
        or character in _JOINERS
        or unicodedata.category(character) in _SHOWN_CATEGORIES
    )


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python represents a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    if character in named:
        return named[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`number` and its noun: "1 image", "2 images"; `plural` where it is irregular."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {plural or noun + ('es' if noun.endswith('s') else 's')}"


def duration(seconds: float) -> str:
    """An approximate time: "40 seconds", "12 minutes", "2.5 hours"."""
    if seconds < 90:
        return counted(max(1, round(seconds)), "second")
    if seconds < 90 * 60:
        return counted(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"


def abbreviated(text: str, limit: int = 24) -> str:
    """The text, cut to `limit` characters with an ellipsis at the end."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def format_number(value: float | None, digits: int = 3) -> str:
    """A figure as text, with a dash if it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def format_exact(value: float, least: int = 4) -> str:
    """All decimals of a number, but at least `least` of them."""
    from decimal import Decimal

    exact = Decimal(repr(float(value)))
    return f"{exact:.{max(least, -int(exact.as_tuple().exponent))}f}"


def listed(names: Sequence[str], limit: int = 5) -> str:
    """The first names, and how many more there are: "a, b, c and 7 more"."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""JSON that reads back as `value`, in characters that are safe on a terminal.

    Invisible characters and lone surrogates are written as \u escapes. NaN and infinities, which
    JSON does not have, become null.
    """
    import json

    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_without_nan(value), ensure_ascii=False, indent=indent, allow_nan=False)
    # Outside strings JSON is ASCII, so anything escaped here is inside one.
    return re.sub(r"[^\x20-\x7e\n]", _json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    import json

    character = found.group()
    return character if _is_shown(character) else json.dumps(character)[1:-1]


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
