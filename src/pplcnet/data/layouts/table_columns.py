"""What the columns of a table hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pplcnet.data.layouts.csv_text import Sheet
from pplcnet.data.layouts.label_cells import LABELS_COLUMN
from pplcnet.data.layouts.list_text import shortened
from pplcnet.data.splits import CHECKSUM_COLUMN
from pplcnet.errors import DatasetError
from pplcnet.system.wording import listed

__all__ = [
    "LABEL_COLUMNS",
    "PATH_COLUMNS",
    "RESERVED",
    "SPLIT_COLUMN",
    "Part",
    "find_columns",
    "is_to_be_answered",
    "is_unlabelled",
]

PATH_COLUMNS = ("path", "file", "filename", "image")
LABEL_COLUMNS = ("label", "class", "category")
SPLIT_COLUMN = "split"
RESERVED = {*PATH_COLUMNS, LABELS_COLUMN, SPLIT_COLUMN, CHECKSUM_COLUMN, *LABEL_COLUMNS}
"""Names that no label can have, since a table with a column for it could not be read back."""


class Part(NamedTuple):
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
        """Whether it has a column for one label, and one for several."""
        return self.label is not None, self.labels is not None

    @property
    def form(self) -> str:
        """How the file gives its labels, for messages."""
        for column in (self.label, self.labels):
            if column is not None:
                return f"a column {self.sheet.columns[column]!r}"
        return "a column for each label"


def is_unlabelled(sheet: Sheet) -> bool:
    """Whether it has no columns but those for paths, splits and checksums."""
    return all(
        name.lower() in (*PATH_COLUMNS, SPLIT_COLUMN, CHECKSUM_COLUMN)
        for name in sheet.columns
        if name
    )


def is_to_be_answered(sheet: Sheet, training: Sheet) -> bool:
    """Whether a test table lists images for which the labels are wanted, as in competitions.

    Such a table lacks the label column that the training table has; it may give the images by a
    number, or other facts about them.
    """
    named = {name.lower() for name in training.columns} & {*LABEL_COLUMNS, LABELS_COLUMN}
    given = {name.lower() for name in sheet.columns}
    return bool(named) and not given & {*LABEL_COLUMNS, LABELS_COLUMN}


def find_columns(sheet: Sheet, split: str) -> Part:
    """The columns of a table.

    Args:
        split: what the whole file is for, or "".

    Raises:
        DatasetError: columns are missing, or there is more than one for the same thing.
    """
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
            f"({', '.join(LABEL_COLUMNS)}), or for multi-label data {LABELS_COLUMN}, or a "
            "column for each label. The first line names the columns, and commas, semicolons or "
            f"tabs separate them.{_likely_path(sheet.columns) if not paths else ''}"
        )
    if single and several:
        raise DatasetError(
            f"{where}has a column {sheet.columns[single[0]]!r} (one label per photo) and a column "
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
    return Part(sheet, split, paths[0], _only(single), _only(several), _only(splits), others)


def _likely_path(columns: Sequence[str]) -> str:
    near = next((n for n in columns if any(each in n.lower() for each in PATH_COLUMNS)), None)
    return f" If {shortened(near)!r} holds the paths, call it 'path'." if near else ""


def _only(found: Sequence[int]) -> int | None:
    return found[0] if found else None
