"""CSV that spreadsheets do not execute and that reads back exactly as written.

A cell that starts with = + - @ or a tab is a formula to Excel and others, which a file or class
name could smuggle in. Such text gets a leading apostrophe, the spreadsheets' own mark for text;
such a path gets a leading ./, with which it names the same file. Numbers stay as they are.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Protocol

__all__ = ["CsvWriter", "long_cells", "original", "original_path"]

LONGEST_CELL = 4 << 20
"""Characters; a cell may hold all boxes of a photo, about 100,000 of them."""

# Full-width forms count too, and leading apostrophes, so that `original` undoes all alike.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", re.IGNORECASE)


class _File(Protocol):
    def write(self, text: str, /) -> object: ...


@contextlib.contextmanager
def long_cells() -> Iterator[None]:
    """Within the context, the csv module reads cells of LONGEST_CELL characters, not 131,072."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


class CsvWriter:
    """Writes rows in which no cell is a formula.

    Text is given as str, the path of a file as a PurePath.
    """

    def __init__(self, file: _File, header: Sequence[str], *, line_end: str = "\r\n") -> None:
        self._writer = csv.writer(file, lineterminator=line_end)
        self.writerow(header)

    def writerow(self, row: Iterable[object]) -> None:
        """Write one line."""
        self._writer.writerow([_cell(each) for each in row])

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Write a line per row."""
        for row in rows:
            self.writerow(row)


def _cell(value: object) -> object:
    if not isinstance(value, str | PurePath):
        return value
    text = str(value)
    if not _FORMULA.match(text) or _NUMBER.fullmatch(text):
        return text
    return f"./{text}" if isinstance(value, PurePath) else f"'{text}"


def original(cell: str) -> str:
    """The text that CsvWriter was given for `cell`; other text as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def original_path(cell: str) -> str:
    """As `original`, for a path."""
    return cell[2:] if cell.startswith("./") and _FORMULA.match(cell[2:]) else cell
