"""A CSV file of labelled photos, in three forms: one label a photo, several, or a column a label.

Only text is read here; `pplcnet.dataset` makes labelled images of it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pplcnet.errors import DatasetError

__all__ = ["ABSENT", "PRESENT", "UNKNOWN", "Row", "Table", "read_table"]

PATH_COLUMNS = ("path", "file", "filename", "image")
LABEL_COLUMNS = ("label", "class", "category")
LABELS_COLUMN = "labels"
SPLIT_COLUMN = "split"
SEPARATOR = ";"

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
"""What is known of one label on one photo."""
_CELLS = {
    "1": PRESENT,
    "1.0": PRESENT,
    "0": ABSENT,
    "0.0": ABSENT,
    "": UNKNOWN,
    "-1": UNKNOWN,
    "-1.0": UNKNOWN,
}


class Row(NamedTuple):
    """One line, as it stands there."""

    place: str
    """Where it stands, for messages."""
    path: str
    label: str
    """The one label of a table with one a photo, else ""."""
    split: str
    marks: tuple[int, ...] = ()
    """PRESENT, ABSENT or UNKNOWN for every label of a table with several a photo."""


class Table(NamedTuple):
    """The lines of a CSV file."""

    rows: list[Row]
    labels: tuple[str, ...] | None
    """Sorted names of the labels that `marks` are for; None for one label a photo."""
    faults: list[str]
    """A sentence for each column that holds something that says nothing."""


def read_table(path: Path) -> Table:
    """Read a CSV with a header: a path column, the labels, and a split column if wanted.

    The labels are a column `label` with a name; or a column `labels` with any number of names
    between semicolons; or, without either, every other column is a label that holds 1 where the
    photo shows it, 0 where not, and nothing or -1 where nobody knows.

    Raises:
        DatasetError: it cannot be read, or lacks these columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [str(each) for each in reader.fieldnames or ()]
            lines = [
                (f"line {reader.line_num}", {key: (row[key] or "").strip() for key in header})
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read as CSV ({error}).") from error
    columns = {each.strip().lower(): each for each in header}
    path_column = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    label_column = next((columns[name] for name in LABEL_COLUMNS if name in columns), None)
    labels_column, split_column = columns.get(LABELS_COLUMN), columns.get(SPLIT_COLUMN)
    others = [each for each in header if each not in (path_column, split_column) and each.strip()]
    if path_column is None or not others:
        raise DatasetError(
            f"{path}: its columns are {', '.join(columns) or 'none'}; needed are a path column "
            f"({', '.join(PATH_COLUMNS)}) and a label column ({', '.join(LABEL_COLUMNS)}), or "
            f"for several labels a photo {LABELS_COLUMN}, or a column for each label."
        )
    if label_column and labels_column:
        raise DatasetError(
            f"{path}: has a column {label_column!r} (one label a photo) and a column "
            f"{labels_column!r} (several); leave out the one that is not meant."
        )
    rows = [
        Row(
            place,
            cells[path_column],
            cells[label_column] if label_column else "",
            cells[split_column].lower() if split_column else "",
        )
        for place, cells in lines
    ]
    if label_column:
        return Table(rows, None, [])
    if labels_column:
        return _with_names(rows, [cells[labels_column] for _, cells in lines])
    return _with_columns(path, rows, others, [cells for _, cells in lines])


def _with_names(rows: list[Row], texts: list[str]) -> Table:
    """A photo has the labels that are named and no other; it may have none."""
    named = [{name.strip() for name in text.split(SEPARATOR)} - {""} for text in texts]
    labels = tuple(sorted(set().union(*named)))
    marked = [
        row._replace(marks=tuple(PRESENT if label in names else ABSENT for label in labels))
        for row, names in zip(rows, named, strict=True)
    ]
    return Table(marked, labels, [])


def _with_columns(
    path: Path, rows: list[Row], columns: Sequence[str], lines: list[dict[str, str]]
) -> Table:
    columns = sorted(columns, key=str.strip)
    labels = tuple(each.strip() for each in columns)
    repeated = sorted({each for each in labels if labels.count(each) > 1})
    if repeated:
        raise DatasetError(f"{path}: has several columns named {', '.join(repeated)}.")
    faults = []
    for column in columns:
        wrong = [
            (row.place, cells[column])
            for row, cells in zip(rows, lines, strict=True)
            if cells[column] not in _CELLS
        ]
        if wrong:
            more = f" and on {len(wrong) - 1} more" if len(wrong) > 1 else ""
            faults.append(
                f"column {column.strip()!r} holds {wrong[0][1]!r} on {wrong[0][0]}{more}; a "
                "label's column holds 1 (on the photo), 0 (not on it), or nothing or -1 (unknown)"
            )
    marked = [
        row._replace(marks=tuple(_CELLS.get(cells[column], UNKNOWN) for column in columns))
        for row, cells in zip(rows, lines, strict=True)
    ]
    return Table(marked, labels, faults)
