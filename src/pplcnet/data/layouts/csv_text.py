"""The cells of a CSV file; a line with too many or too few cells is a fault, never a guess."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.layouts.list_text import read_text, shortened
from pplcnet.errors import DatasetError
from pplcnet.system.wording import counted

__all__ = ["UNNAMED", "Sheet", "read_sheet"]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
# How Excel says which character separates the cells.
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])(?:\r\n|\r|\n)", re.IGNORECASE)
# What pandas calls a column without a name.
UNNAMED = re.compile(r"Unnamed: [0-9]+")


class Sheet(NamedTuple):
    """A CSV file as text."""

    path: Path
    columns: tuple[str, ...]
    """Names in the header, without white space around them; "" for a column without one."""
    lines: list[tuple[str, list[str]]]
    """Each line's place, for messages, and its cells, one for each column."""
    faults: list[str]
    """A sentence for each line that cannot be read, and for each column without a name."""


class _Record(NamedTuple):
    first: int
    """Number of its first line."""
    last: int
    cells: list[str]


def read_sheet(path: Path, known: Collection[str], *, name: str = "") -> Sheet:
    """Read a CSV file whose cells are separated by commas, semicolons or tabs.

    Args:
        known: lower-case names of columns; the separator is the first one that makes one of them a
            column of the header.
        name: how messages name the file; "" if the line number is enough.

    Raises:
        DatasetError: it cannot be read, or its header is broken.
    """
    text = read_text(path)
    offset = 0
    declared = _SEPARATOR_LINE.match(text)
    if declared:
        text, offset = text[declared.end() :], 1
    delimiters = [declared[1]] if declared else list(DELIMITERS)
    delimiter = next((each for each in delimiters if _has_column(text, each, known)), delimiters[0])
    records = _records(text, delimiter)
    place = f"{name} line" if name else "line"
    try:
        header = next((each for each in records if any(each.cells)), _Record(1, 1, []))
    except _BrokenLineError as broken:
        raise DatasetError(f"{path}: {place} {broken.first + offset}: {broken}.") from broken
    if header.last > header.first:
        raise DatasetError(f"{path}: {_swallowed(header, place, offset)}.")
    columns = tuple("" if UNNAMED.fullmatch(each) else each for each in header.cells)
    sheet = Sheet(path, columns, [], [])
    path_columns = [at for at, name in enumerate(columns) if name.lower() in known]
    try:
        for record in records:
            if not any(record.cells):
                continue
            if record.last > record.first and any(
                "\n" in cell or "\r" in cell
                for at, cell in enumerate(record.cells)
                if at not in path_columns
            ):
                sheet.faults.append(_swallowed(record, place, offset))
            elif len(record.cells) != len(columns):
                kind = DELIMITERS.get(delimiter, repr(delimiter))
                advice = (
                    f"put a cell that contains a {kind} in double quotes"
                    if len(record.cells) > len(columns)
                    else "write every cell, empty ones too"
                )
                cells = counted(len(record.cells), "cell")
                sheet.faults.append(
                    f"{place} {record.first + offset}: has {cells}, the header has "
                    f"{len(columns)}; {advice}"
                )
            else:
                sheet.lines.append((f"{place} {record.first + offset}", record.cells))
    except _BrokenLineError as broken:
        sheet.faults.append(f"{place} {broken.first + offset}: {broken}")
    sheet.faults.extend(_nameless(sheet))
    return sheet


class _BrokenLineError(ValueError):
    """A line that the csv module cannot read."""

    def __init__(self, first: int, last: int, reason: str) -> None:
        self.first = first
        if "field limit" in reason:
            text = (
                f"has a cell of more than {csv.field_size_limit()} characters; is a double quote "
                "not closed?"
            )
        else:
            until = f" before the end of line {last}" if last > first else ""
            text = (
                f"a double quote that begins a cell here is not closed properly{until}; close it, "
                'or double every quote that belongs to the text ("")'
            )
        super().__init__(text)


def _records(text: str, delimiter: str) -> Iterator[_Record]:
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    first = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _BrokenLineError(first, reader.line_num, str(error)) from error
        yield _Record(first, reader.line_num, [each.strip() for each in cells])
        first = reader.line_num + 1


def _has_column(text: str, delimiter: str, known: Collection[str]) -> bool:
    try:
        for record in _records(text, delimiter):
            if any(record.cells):
                return any(cell.lower() in known for cell in record.cells)
    except _BrokenLineError:
        pass
    return False


def _swallowed(record: _Record, place: str, offset: int) -> str:
    return (
        f"{place} {record.first + offset}: a double quote joins this line and all up to line "
        f"{record.last + offset} into one row; close it, or remove the line break from the cell"
    )


def _nameless(sheet: Sheet) -> Iterator[str]:
    """A column without a name must be empty; only the first may hold pandas' row numbers."""
    for at, name in enumerate(sheet.columns):
        if name or not at:
            continue
        held = next(((place, cells[at]) for place, cells in sheet.lines if cells[at]), None)
        if held:
            yield (
                f"column {at + 1} has no name in the header, but holds {shortened(held[1])!r} on "
                f"{held[0]}"
            )
