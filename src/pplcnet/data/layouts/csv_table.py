"""A CSV file with a header: a path column, the labels, and a split column if wanted.

The labels are in one of three forms: a column `label` with one name; a column `labels` with any
number of names, separated by semicolons; or, without either, a column for each label that holds 1
(or true) if the image shows it, 0 (or false) if not, and nothing or -1 if that is unknown.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.annotations import ABSENT, PRESENT, UNKNOWN, Marks
from pplcnet.data.class_names import class_name, name_faults
from pplcnet.data.dataset import SPLITS, Dataset
from pplcnet.data.layouts.csv_text import Sheet, read_sheet
from pplcnet.data.layouts.label_cells import LABELS_COLUMN, SEPARATOR, label_faults, list_faults
from pplcnet.data.layouts.list_text import (
    SPLIT_NAMES,
    lists_beside,
    notes_on_unread,
    shortened,
    shown_beside,
)
from pplcnet.data.layouts.listed_images import (
    Listed,
    Row,
    dataset_of_classes,
    listed_images,
    root_of,
)
from pplcnet.data.layouts.repeats import without_repeats
from pplcnet.data.layouts.table_columns import (
    LABEL_COLUMNS,
    PATH_COLUMNS,
    RESERVED,
    SPLIT_COLUMN,
    Part,
    find_columns,
    is_to_be_answered,
    is_unlabelled,
)
from pplcnet.data.splits import CHECKSUM_COLUMN
from pplcnet.errors import DatasetError
from pplcnet.system.csv_cells import original
from pplcnet.system.wording import counted

__all__ = ["read", "recognises"]

_CELLS = {
    "1": PRESENT,
    "1.0": PRESENT,
    "true": PRESENT,
    "0": ABSENT,
    "0.0": ABSENT,
    "false": ABSENT,
    "": UNKNOWN,
    "-1": UNKNOWN,
    "-1.0": UNKNOWN,
}


class _Table(NamedTuple):
    """All lines of a table with several labels per image."""

    labels: tuple[str, ...]
    """Sorted."""
    marks: list[Marks]
    """One for each row."""
    faults: list[str]
    notes: list[str]


def recognises(path: Path) -> bool:
    """Whether it is a file whose name ends in .csv or .tsv."""
    return path.suffix.lower() in (".csv", ".tsv") and not os.path.isdir(path)


def read(path: Path) -> Dataset:
    """The images of a table, and of the tables of other splits beside a training table.

    A table of another split that has no labels is left out, with a note.

    Raises:
        DatasetError: the file cannot be read, lacks a column or has one twice; or all faults of the
            lines.
    """
    beside = lists_beside(path)
    own = read_sheet(path, PATH_COLUMNS, name=shown_beside(path, path) if beside else "")
    labelled, notes = list[Part](), list[str]()
    for file, split in beside:
        shown = shown_beside(file, path)
        sheet = read_sheet(file, PATH_COLUMNS, name=shown)
        if not (sheet.lines or sheet.faults):
            notes.append(f"{shown} lists no photos.")
        elif is_unlabelled(sheet) or (split == "test" and is_to_be_answered(sheet, own)):
            notes.append(f"{shown} has no labels and is not used.")
        else:
            labelled.append(find_columns(sheet, split))
    parts = [find_columns(own, "train" if labelled else ""), *labelled]
    notes += notes_on_unread(path, [file for file, _ in beside])
    for part in labelled:
        if part.kind != parts[0].kind:
            raise DatasetError(
                f"{path}: has {parts[0].form}, and {shown_beside(part.sheet.path, path)} "
                f"({part.split}) has {part.form}. Give both the same form, or move one away."
            )
    rows = [row for part in parts for row in _rows(part)]
    faults = [fault for part in parts for fault in (*part.sheet.faults, *_left_out(part))]
    faults += _split_faults(rows)
    if parts[0].label is not None:
        first = _first_places((row.place, (row.label,)) for row in rows)
        is_written_by_us = CHECKSUM_COLUMN in map(str.lower, own.columns)
        check = name_faults if is_written_by_us else label_faults
        faults += check(first.keys() - {""}, first)
        classes = tuple(sorted(first.keys() - {""}))
        return dataset_of_classes(path, Listed(rows, classes, faults, tuple(notes)))
    table = _with_columns(parts) if parts[0].labels is None else _with_names(parts, rows)
    listed = Listed(rows, table.labels, [*faults, *table.faults], (*notes, *table.notes))
    images = listed_images(path, listed, table.marks)
    root = root_of(path, rows)
    _check_labels(path, table.labels)
    return without_repeats(
        Dataset(root, table.labels, images, task="multilabel", notes=listed.notes, source=path)
    )


def _check_labels(path: Path, labels: Sequence[str]) -> None:
    """DatasetError if there is only one label, or one with the name of a column."""
    if len(labels) < 2:
        raise DatasetError(
            f"{path}: {counted(len(labels), 'label')} in the whole table; multi-label data need at "
            "least two. For a yes/no label, give a column 'label' with two names."
        )
    taken = [name for name in labels if name.lower() in RESERVED]
    if taken:
        raise DatasetError(
            f"{path}: no label can be called {', '.join(taken)}, which are names of columns; give "
            "it another name."
        )


def _rows(part: Part) -> Iterable[Row]:
    for place, cells in part.sheet.lines:
        label = class_name(original(cells[part.label])) if part.label is not None else ""
        own = cells[part.split_column].lower() if part.split_column is not None else ""
        yield Row(place, cells[part.path], label, own or part.split, part.sheet.path.parent)


def _left_out(part: Part) -> Iterable[str]:
    """Faults of columns that seem to give the split, but are not read."""
    if part.split_column is not None:
        return
    for column in part.others:
        name = part.sheet.columns[column]
        flag = name.lower().removeprefix("is_")
        if column in (part.label, part.labels):
            continue
        if True not in part.kind and (flag not in SPLIT_NAMES or flag == name.lower()):
            continue  # "train" may be a label, "is_train" cannot be
        values = {cells[column].lower() for _, cells in part.sheet.lines} - {""}
        if len(values) > 1 and values <= set(SPLIT_NAMES):
            yield (
                f"column {name!r} holds {', '.join(sorted(values))}: call it {SPLIT_COLUMN!r} "
                "if it says which split a photo belongs to, else remove it"
            )
        elif flag in SPLIT_NAMES and values and values <= set(_CELLS):
            yield (
                f"column {name!r} is not read: write the splits to a column {SPLIT_COLUMN!r} "
                f"({', '.join(SPLITS)}), or remove it"
            )


def _split_faults(rows: Sequence[Row]) -> Iterable[str]:
    without = [row for row in rows if not row.split]
    if len(without) < len(rows):
        for row in without:
            yield f"{row.place}: the split is empty, but other lines have one"


def _with_names(parts: Sequence[Part], rows: Sequence[Row]) -> _Table:
    """An image shows the labels that are named, perhaps none, and no others."""
    texts = [
        original(cells[part.labels])
        for part in parts
        for _, cells in part.sheet.lines
        if part.labels is not None
    ]
    named = [{class_name(name) for name in text.split(SEPARATOR)} - {""} for text in texts]
    first = _first_places(
        (row.place, sorted(names)) for row, names in zip(rows, named, strict=True)
    )
    labels = tuple(sorted(first))
    marks = [
        Marks(tuple(PRESENT if label in names else ABSENT for label in labels)) for names in named
    ]
    notes = []
    if rows and all(len(names) == 1 for names in named):
        notes.append(
            f"column {LABELS_COLUMN!r} has one name on every line; if no photo ever has several "
            f"labels, call it {LABEL_COLUMNS[0]!r}."
        )
    return _Table(labels, marks, list_faults(first), notes)


def _first_places(named: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Every name, and where it first appears."""
    first: dict[str, str] = {}
    for place, names in named:
        for name in names:
            first.setdefault(name, place)
    return first


def _with_columns(parts: Sequence[Part]) -> _Table:
    """A column for each label."""
    ordered = [_by_name(part) for part in parts]
    named = [
        tuple(class_name(original(part.sheet.columns[at])) for at in columns)
        for part, columns in zip(parts, ordered, strict=True)
    ]
    labels = named[0]
    for part, other in zip(parts[1:], named[1:], strict=True):
        if other != labels:
            raise DatasetError(
                f"{parts[0].sheet.path}: {part.sheet.path} ({part.split}) has other "
                f"label columns ({', '.join(sorted({*labels} ^ {*other})) or 'one twice'}). Give "
                "both the same, or move one away."
            )
    repeated = sorted(name for name, count in Counter(labels).items() if count > 1)
    if repeated:
        path = parts[0].sheet.path
        raise DatasetError(f"{path}: has several columns named {', '.join(repeated)}.")
    faults = name_faults(labels)
    marks: list[Marks] = []
    for part, columns in zip(parts, ordered, strict=True):
        faults += _cell_faults(part.sheet, columns)
        marks += [
            Marks(tuple(_CELLS.get(cells[at].lower(), UNKNOWN) for at in columns))
            for _, cells in part.sheet.lines
        ]
    return _Table(labels, marks, faults, [])


def _by_name(part: Part) -> list[int]:
    return sorted(part.others, key=lambda at: class_name(original(part.sheet.columns[at])))


def _cell_faults(sheet: Sheet, columns: Sequence[int]) -> Iterable[str]:
    for at in columns:
        wrong = [
            (place, cells[at]) for place, cells in sheet.lines if cells[at].lower() not in _CELLS
        ]
        if wrong:
            more = f" and on {len(wrong) - 1} more" if len(wrong) > 1 else ""
            place, text = wrong[0]
            yield (
                f"column {sheet.columns[at]!r} holds {shortened(text)!r} on {place}{more}; a "
                "label's column holds 1 (on the photo), 0 (not on it), or nothing or -1 (unknown). "
                f"If it holds the name of the class, call it {LABEL_COLUMNS[0]!r}"
            )
