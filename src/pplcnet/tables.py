"""A CSV file of labelled photos, in three forms: one label a photo, several, or a column a label.

Only text is read here; `pplcnet.dataset` makes labelled images of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pplcnet.class_names import class_name, name_faults
from pplcnet.csv_cells import original
from pplcnet.csv_text import Sheet, read_sheet
from pplcnet.errors import DatasetError
from pplcnet.label_cells import LABELS_COLUMN, SEPARATOR, label_faults, list_faults
from pplcnet.list_text import SPLIT_NAMES, SPLITS, notes_on_unread, shortened, shown_beside
from pplcnet.wording import listed

__all__ = ["ABSENT", "CHECKSUM_COLUMN", "PRESENT", "UNKNOWN", "Row", "Table", "read_table"]

PATH_COLUMNS = ("path", "file", "filename", "image")
LABEL_COLUMNS = ("label", "class", "category")
SPLIT_COLUMN = "split"
CHECKSUM_COLUMN = "sha256"
"""Of the files, which a run's split.csv has; no label."""

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
"""What is known of one label on one photo."""
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
    folder: Path | None = None
    """Where relative paths start, if not in the folder of the table or list that was given."""


class Table(NamedTuple):
    """The lines of a CSV file."""

    rows: list[Row]
    labels: tuple[str, ...] | None
    """Sorted names of the labels that `marks` are for; None for one label a photo."""
    faults: list[str]
    """A sentence for each line or column that is wrong; with one, the rows are not to be used."""
    notes: tuple[str, ...] = ()
    """What is worth knowing, a sentence each."""


class _Part(NamedTuple):
    """One file with the columns that were found in it."""

    sheet: Sheet
    split: str
    path: int
    label: int | None
    labels: int | None
    split_column: int | None
    others: tuple[int, ...]
    """Every other column that has a name."""

    @property
    def kind(self) -> tuple[bool, bool]:
        """Whether it has a column for one label, or for several."""
        return self.label is not None, self.labels is not None

    @property
    def form(self) -> str:
        """How the file gives its labels, for messages."""
        for column in (self.label, self.labels):
            if column is not None:
                return f"a column {self.sheet.columns[column]!r}"
        return "a column for each label"


def read_table(path: Path, beside: Sequence[tuple[Path, str]] = ()) -> Table:
    """Read a CSV with a header: a path column, the labels, and a split column if wanted.

    The labels are a column `label` with a name; or a column `labels` with any number of names
    between semicolons; or, without either, every other column is a label that holds 1 (or true)
    where the photo shows it, 0 (or false) where not, and nothing or -1 where nobody knows.

    Args:
        beside: tables of other splits, of the same form, with the split that each stands for; one
            that has no labels is left out.

    Raises:
        DatasetError: it cannot be read, or lacks these columns, or has one of them twice.
    """
    sheets = [
        (read_sheet(file, PATH_COLUMNS, name=shown_beside(file, path)), split)
        for file, split in beside
    ]
    others = [
        _part(sheet, split)
        for sheet, split in sheets
        if (sheet.lines or sheet.faults) and not _is_unlabelled(sheet)
    ]
    own = read_sheet(path, PATH_COLUMNS, name=shown_beside(path, path) if others else "")
    parts = [_part(own, "train" if others else ""), *others]
    notes = [
        f"{shown_beside(sheet.path, path)} "
        + ("has no labels and is not used." if sheet.lines or sheet.faults else "lists no photos.")
        for sheet, _ in sheets
        if _is_unlabelled(sheet) or not (sheet.lines or sheet.faults)
    ]
    notes += notes_on_unread(path, [file for file, _ in beside])
    for part in others:
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
        return Table(rows, None, [*faults, *check(first.keys() - {""}, first)], tuple(notes))
    table = _with_columns(parts, rows) if parts[0].labels is None else _with_names(parts, rows)
    return table._replace(faults=[*faults, *table.faults], notes=(*notes, *table.notes))


def _is_unlabelled(sheet: Sheet) -> bool:
    return all(
        name.lower() in (*PATH_COLUMNS, SPLIT_COLUMN, CHECKSUM_COLUMN)
        for name in sheet.columns
        if name
    )


def _part(sheet: Sheet, split: str) -> _Part:
    names = [name.lower() for name in sheet.columns]
    where = f"{sheet.path}: "
    paths = [at for at, name in enumerate(names) if name in PATH_COLUMNS]
    single = [at for at, name in enumerate(names) if name in LABEL_COLUMNS]
    several = [at for at, name in enumerate(names) if name == LABELS_COLUMN]
    splits = [at for at, name in enumerate(names) if name == SPLIT_COLUMN]
    named = {*paths, *splits, *(at for at, name in enumerate(names) if name == CHECKSUM_COLUMN)}
    others = tuple(at for at, name in enumerate(names) if name and at not in named)
    if not paths or not others:
        raise DatasetError(
            f"{where}its columns are {listed([*filter(None, sheet.columns)], 12) or 'none'}; "
            f"needed are a path column ({', '.join(PATH_COLUMNS)}) and a label column "
            f"({', '.join(LABEL_COLUMNS)}), or for several labels a photo {LABELS_COLUMN}, or a "
            "column for each label. The first line names the columns, and commas, semicolons or "
            "tabs separate them."
        )
    if single and several:
        raise DatasetError(
            f"{where}has a column {sheet.columns[single[0]]!r} (one label a photo) and a column "
            f"{sheet.columns[several[0]]!r} (several); leave out the one that is not meant."
        )
    for found, meaning in (
        (paths, "the photo's path"),
        (single, "the label"),
        (several, "the labels"),
        (splits, "the split"),
    ):
        if len(found) > 1:
            raise DatasetError(
                f"{where}has {len(found)} columns for {meaning} "
                f"({listed([repr(sheet.columns[at]) for at in found])}); keep one and rename or "
                "remove the rest."
            )
    return _Part(sheet, split, paths[0], _only(single), _only(several), _only(splits), others)


def _only(found: Sequence[int]) -> int | None:
    return found[0] if found else None


def _rows(part: _Part) -> Iterable[Row]:
    for place, cells in part.sheet.lines:
        label = class_name(original(cells[part.label])) if part.label is not None else ""
        own = cells[part.split_column].lower() if part.split_column is not None else ""
        yield Row(place, cells[part.path], label, own or part.split, (), part.sheet.path.parent)


def _left_out(part: _Part) -> Iterable[str]:
    """Columns that nothing would be read from, and that hold what was meant to be read."""
    if (part.label is None and part.labels is None) or part.split_column is not None:
        return
    for column in part.others:
        if column not in (part.label, part.labels):
            name = part.sheet.columns[column]
            values = {cells[column].lower() for _, cells in part.sheet.lines} - {""}
            if len(values) > 1 and values <= set(SPLIT_NAMES):
                yield (
                    f"column {name!r} holds {', '.join(sorted(values))}: call it {SPLIT_COLUMN!r} "
                    "if it says which split a photo belongs to, else remove it"
                )
            elif name.lower().removeprefix("is_") in SPLIT_NAMES and values <= set(_CELLS):
                yield (
                    f"column {name!r} is not read: write the splits to a column {SPLIT_COLUMN!r} "
                    f"({', '.join(SPLITS)}), or remove it"
                )


def _split_faults(rows: Sequence[Row]) -> Iterable[str]:
    without = [row for row in rows if not row.split]
    if len(without) < len(rows):
        for row in without:
            yield f"{row.place}: the split is empty, but other lines have one"


def _with_names(parts: Sequence[_Part], rows: list[Row]) -> Table:
    """A photo has the labels that are named and no other; it may have none."""
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
    marked = [
        row._replace(marks=tuple(PRESENT if label in names else ABSENT for label in labels))
        for row, names in zip(rows, named, strict=True)
    ]
    notes = []
    if rows and all(len(names) == 1 for names in named):
        notes.append(
            f"column {LABELS_COLUMN!r} holds one name on every line; if a photo never has several "
            f"labels, call it {LABEL_COLUMNS[0]!r}."
        )
    return Table(marked, labels, list_faults(first), tuple(notes))


def _first_places(named: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Every name, and where it first stands."""
    first: dict[str, str] = {}
    for place, names in named:
        for name in names:
            first.setdefault(name, place)
    return first


def _with_columns(parts: Sequence[_Part], rows: list[Row]) -> Table:
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
    marks: list[tuple[int, ...]] = []
    for part, columns in zip(parts, ordered, strict=True):
        faults += _cell_faults(part.sheet, columns)
        marks += [
            tuple(_CELLS.get(cells[at].lower(), UNKNOWN) for at in columns)
            for _, cells in part.sheet.lines
        ]
    marked = [row._replace(marks=mark) for row, mark in zip(rows, marks, strict=True)]
    return Table(marked, labels, faults)


def _by_name(part: _Part) -> list[int]:
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
