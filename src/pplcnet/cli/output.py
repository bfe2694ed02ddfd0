"""Everything that verbs write to stdout goes through here.

Text is shown line by line, with control characters in names escaped. JSON reads back exactly.
"""

from __future__ import annotations

import sys
from typing import Any

from pplcnet.wording import json_text, printable

__all__ = ["complain", "show", "show_json", "show_page"]


def show(line: str) -> None:
    """One line of text on stdout, whatever names are in it."""
    print(printable(line))


def show_page(text: str) -> None:
    """Several lines of text, in which line breaks within names are escaped already."""
    for line in text.split("\n"):
        show(line)


def show_json(value: Any, *, indent: int | None = None) -> None:
    """A JSON value on stdout; ASCII where stdout's encoding cannot take it all."""
    text = json_text(value, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = _in_ascii(text)
    print(text)


def _in_ascii(text: str) -> str:
    import json
    import re

    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found.group())[1:-1], text)


def complain(line: str) -> None:
    """One line on stderr."""
    print(printable(line), file=sys.stderr)
