"""A CSV file with the path of a photo and that of its mask in each row, and the split if wanted.

A split.csv that `pplcnet.data.splits` wrote is one too; it also says what the values stand for.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pplcnet.data.annotations import Mask
from pplcnet.data.dataset import SPLITS, Dataset, LabelledImage
from pplcnet.data.layouts.csv_text import Sheet, read_sheet
from pplcnet.data.layouts.drawn_masks import Pair, dataset_of_masks
from pplcnet.data.layouts.list_text import (
    SPLIT_NAMES,
    lists_beside,
    notes_on_unread,
    shortened,
    shown_beside,
)
from pplcnet.data.layouts.listed_images import FileFinder
from pplcnet.data.layouts.mask_classes import find_classes
from pplcnet.data.layouts.table_columns import PATH_COLUMNS, SPLIT_COLUMN
from pplcnet.errors import DatasetError
from pplcnet.system.csv_cells import long_cells, original
from pplcnet.system.wording import counted

__all__ = ["read", "recognises"]

PATHS = (*PATH_COLUMNS, "image_path", "photo")
MASKS = ("mask", "mask_path", "mask_file", "masks", "segmentation")
WRITTEN = {*Mask.columns(()), "path"}
HEADER_BYTES = 1 << 16
_HEADER_END = re.compile(r"[\r\n]")
_SEPARATORS = re.compile(r"[,;\t]")


def recognises(path: Path) -> bool:
    """Whether it is a .csv or .tsv file with columns for a photo and its mask."""
    if path.suffix.lower() not in (".csv", ".tsv") or not os.path.isfile(path):
        return False
    try:
        with path.open("rb") as file:
            text = file.read(HEADER_BYTES).decode("utf-8-sig", "ignore")
    except OSError:
        return False
    header = _HEADER_END.split(text.lstrip("\ufeff\r\n"), maxsplit=1)[0]
    names = {each.strip().strip('"').lower() for each in _SEPARATORS.split(header)}
    return bool(names & {*PATHS}) and bool(names & {*MASKS})


def read(path: Path) -> Dataset:
    """The photos of a table, and of the tables of other splits beside a training table.

    Raises:
        DatasetError: the file cannot be read or lacks a column; or all faults of the rows; or masks
            whose values are not certain.
    """
    beside = lists_beside(path)
    with long_cells():
        own = read_sheet(path, PATHS, name=shown_beside(path, path) if beside else "")
    if {each.lower() for each in own.columns} >= WRITTEN:
        return _written(path, own)
    sheets = [(own, "train" if beside else "")]
    sheets += [
        (read_sheet(file, PATHS, name=shown_beside(file, path)), split) for file, split in beside
    ]
    faults = [fault for sheet, _ in sheets for fault in sheet.faults]
    pairs = [pair for sheet, split in sheets for pair in _pairs(sheet, split, faults)]
    if faults:
        raise DatasetError(f"{path}: {counted(len(faults), 'fault')}:", faults)
    folders = {sheet.path.absolute().parent for sheet, _ in sheets}
    root = path.parent if len(folders) == 1 else path.absolute().parent.parent
    classes = find_classes([path.parent, root, *{pair.mask.parent for pair in pairs if pair.mask}])
    notes = notes_on_unread(path, [file for file, _ in beside])
    return dataset_of_masks(path, root, pairs, classes, notes=notes)


def _column(sheet: Sheet, known: tuple[str, ...], meaning: str) -> int:
    found = [at for at, name in enumerate(sheet.columns) if name.lower() in known]
    if len(found) != 1:
        raise DatasetError(
            f"{sheet.path}: has {counted(len(found), 'column')} for {meaning} "
            f"({', '.join(known)}); {'keep one' if found else 'one is needed'}."
        )
    return found[0]


def _pairs(sheet: Sheet, split: str, faults: list[str]) -> list[Pair]:
    photo_at = _column(sheet, PATHS, "the photo's path")
    mask_at = _column(sheet, MASKS, "the mask's path")
    names = [name.lower() for name in sheet.columns]
    split_at = names.index(SPLIT_COLUMN) if SPLIT_COLUMN in names else None
    finder, pairs, without = FileFinder(sheet.path.parent), list[Pair](), list[str]()
    for place, cells in sheet.lines:
        own = cells[split_at].lower() if split_at is not None else ""
        if own and own not in SPLIT_NAMES:
            faults.append(f"{place}: split {shortened(own)!r}, allowed are {', '.join(SPLITS)}")
            continue
        if split_at is not None and not own:
            without.append(place)
        missing = [what for at, what in ((photo_at, "path"), (mask_at, "mask")) if not cells[at]]
        if missing:
            faults.append(f"{place}: no {' and no '.join(missing)}")
            continue
        try:
            photo = finder.find(original(cells[photo_at]))
            mask = finder.find(original(cells[mask_at]))
        except DatasetError as error:
            faults.append(f"{place}: {error}")
            continue
        pairs.append(Pair(photo, mask, SPLIT_NAMES.get(own or split)))
    if without and len(without) < len(sheet.lines):
        faults += [f"{each}: the split is empty, but other photos have one" for each in without]
    return pairs


def _written(path: Path, sheet: Sheet) -> Dataset:
    """The photos of a table that says everything that is kept of a mask."""
    names, faults = [name.lower() for name in sheet.columns], list(sheet.faults)
    order = [names.index(each) for each in Mask.columns(())]
    finder, images = FileFinder(path.parent), list[LabelledImage]()
    cells = [[original(row[at]) for at in order] for _, row in sheet.lines]
    try:
        classes = tuple(Mask.classes_in(Mask.columns(()), cells))
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from error
    for (place, row), own in zip(sheet.lines, cells, strict=True):
        split = row[names.index(SPLIT_COLUMN)].lower() if SPLIT_COLUMN in names else ""
        try:
            photo = finder.find(original(row[names.index("path")]))
            mask = Mask.from_cells([str(finder.find(own[0])), *own[1:]], classes)
        except (DatasetError, ValueError) as error:
            faults.append(f"{place}: {error}")
            continue
        images.append(LabelledImage(photo, mask, SPLIT_NAMES.get(split)))
    if faults or not images:
        raise DatasetError(f"{path}: {counted(len(faults), 'fault')}:", faults)
    return Dataset(path.parent, classes, tuple(images), task="segmentation", source=path)
