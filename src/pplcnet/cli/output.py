"""All stdout output of the verbs goes through here.

Text is written line by line, with control characters in names escaped. JSON and CSV can be read
back exactly; on a terminal, CSV is escaped like text.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pplcnet.system.wording import json_text, printable

if TYPE_CHECKING:
    from pplcnet.system.csv_cells import CsvWriter

__all__ = ["complain", "csv_output", "show", "show_json", "show_json_list", "show_page"]


def show(line: str) -> None:
    """Print one line of text, whatever its names contain."""
    print(printable(line))


def show_page(text: str) -> None:
    """Print several lines of text in which line breaks within names are already escaped."""
    for line in text.split("\n"):
        show(line)


def show_json(value: Any, *, indent: int | None = None) -> None:
    """Print a JSON value; in ASCII if stdout's encoding cannot represent it."""
    print(_encodable(json_text(value, indent=indent)))


def show_json_list(values: Iterable[Any]) -> None:
    """Print a JSON list, with each value on a line as soon as it is available."""
    separator = "["
    for value in values:
        print(f"{separator}{_encodable(json_text(value))}", end="")
        separator = ",\n"
    print("[]" if separator == "[" else "]")


def _encodable(text: str) -> str:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return _in_ascii(text)
    return text


def _in_ascii(text: str) -> str:
    import json
    import re

    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found.group())[1:-1], text)


def csv_output(header: Sequence[str]) -> CsvWriter:
    """A writer of CSV to stdout: UTF-8 as in our CSV files, unless PYTHONIOENCODING is set."""
    from pplcnet.system.csv_cells import CsvWriter

    if sys.stdout.isatty():
        return CsvWriter(_Terminal(), header, line_end="")
    if isinstance(sys.stdout, io.TextIOWrapper) and "PYTHONIOENCODING" not in os.environ:
        sys.stdout.reconfigure(encoding="utf-8")
    return CsvWriter(sys.stdout, header, line_end="\n")


class _Terminal:
    """Receives a row at a time from csv.writer."""

    def write(self, row: str) -> None:
        show(row)


def complain(line: str) -> None:
    """Print one line on stderr."""
    print(printable(line), file=sys.stderr)
