"""A CSV file with a row for each box, or one that `pplcnet.data.splits` wrote.

Columns are a path, a label, the four sides of the box in pixels (x1, y1, x2, y2 and other names for
them), and, if wanted, the split, the photo's width and height, and whether the box is of a crowd. A
row with a path alone is a photo that shows no object.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.annotations import Boxes
from pplcnet.data.boxes import pixels_in
from pplcnet.data.class_names import class_name
from pplcnet.data.dataset import SPLITS, Dataset
from pplcnet.data.layouts.csv_text import Sheet, read_sheet
from pplcnet.data.layouts.drawn_boxes import Drawn, dataset_of_boxes
from pplcnet.data.layouts.list_text import (
    SPLIT_NAMES,
    lists_beside,
    notes_on_unread,
    shortened,
    shown_beside,
)
from pplcnet.data.layouts.listed_images import FileFinder
from pplcnet.data.layouts.table_columns import LABEL_COLUMNS, PATH_COLUMNS, SPLIT_COLUMN
from pplcnet.errors import DatasetError
from pplcnet.system.csv_cells import long_cells, original

__all__ = ["read", "recognises"]

PATHS = (*PATH_COLUMNS, "image_path", "file_name")
LABELS = (*LABEL_COLUMNS, "class_name", "name")
SIDES = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
"""Names of the columns of a box."""
SIZES = (("width", "height"), ("image_width", "image_height"))
CROWDS = ("is_crowd", "iscrowd", "crowd", "difficult")
WRITTEN = {"boxes", "path", "width", "height"}
HEADER_BYTES = 1 << 16
_HEADER_END = re.compile(r"[\r\n]")
_SEPARATORS = re.compile(r"[,;\t]")


class _Columns(NamedTuple):
    path: int
    label: int
    sides: tuple[int, ...]
    split: int | None
    size: tuple[int, ...]
    crowd: int | None


class _Photo(NamedTuple):
    """The rows of one photo."""

    place: str
    folder: Path
    split: str
    size: tuple[int, int] | None
    boxes: list[list[float]]
    names: list[str]
    is_crowd: list[bool]


def recognises(path: Path) -> bool:
    """Whether it is a .csv or .tsv file with columns for the four sides of a box."""
    if path.suffix.lower() not in (".csv", ".tsv") or not os.path.isfile(path):
        return False
    try:
        with path.open("rb") as file:
            start = file.read(HEADER_BYTES)
    except OSError:
        return False
    text = start.decode(
        "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "ignore"
    )
    header = _HEADER_END.split(text.lstrip("\ufeff\r\n"), maxsplit=1)[0]
    names = {each.strip().strip('"').lower() for each in _SEPARATORS.split(header)}
    return names >= WRITTEN or any(names >= {*each} for each in SIDES)


def read(path: Path) -> Dataset:
    """The photos of a table, and of the tables of other splits beside a training table.

    Raises:
        DatasetError: the file cannot be read or lacks a column; or all faults of the rows.
    """
    beside = lists_beside(path)
    with long_cells():
        own = read_sheet(path, PATHS, name=shown_beside(path, path) if beside else "")
    if {each.lower() for each in own.columns} >= WRITTEN:
        faults = list(own.faults)
        return _dataset(path, _written(own, faults), path.parent, faults, [])
    sheets = [(own, "train" if beside else "")]
    sheets += [
        (read_sheet(file, PATHS, name=shown_beside(file, path)), split) for file, split in beside
    ]
    faults = [fault for sheet, _ in sheets for fault in sheet.faults]
    photos: dict[tuple[Path, str], _Photo] = {}
    for sheet, split in sheets:
        _gather(sheet, split, photos, faults)
    drawn = _drawn(photos, faults)
    folders = {each.folder for each in photos.values()}
    root = path.parent if len(folders) < 2 else path.absolute().parent.parent
    return _dataset(path, drawn, root, faults, notes_on_unread(path, [file for file, _ in beside]))


def _dataset(
    path: Path, drawn: list[Drawn], root: Path, faults: list[str], notes: list[str]
) -> Dataset:
    classes = sorted({name for each in drawn for name in each.names})
    with_split = sum(each.split is not None for each in drawn)
    if 0 < with_split < len(drawn):
        faults += [
            f"{each.place}: the split is empty, but other photos have one"
            for each in drawn
            if each.split is None
        ]
    return dataset_of_boxes(path, root, classes, drawn, faults=faults, notes=notes)


def _columns(sheet: Sheet) -> _Columns:
    names = [name.lower() for name in sheet.columns]
    sides = next(each for each in SIDES if {*each} <= {*names})
    path, label, split, crowd = (
        [at for at, name in enumerate(names) if name in known]
        for known in (PATHS, LABELS, (SPLIT_COLUMN,), CROWDS)
    )
    for found, meaning, least in (
        (path, f"the photo's path ({', '.join(PATHS)})", 1),
        (label, f"the label ({', '.join(LABELS)})", 1),
        (split, "the split", 0),
        (crowd, f"whether the box is of a crowd ({', '.join(CROWDS)})", 0),
    ):
        if not least <= len(found) <= 1:
            raise DatasetError(
                f"{sheet.path}: has {len(found)} columns for {meaning}; "
                f"{'one is needed' if not found else 'keep one and rename or remove the rest'}."
            )
    size = next((each for each in SIZES if {*each} <= {*names}), ())
    return _Columns(
        path[0],
        label[0],
        tuple(names.index(each) for each in sides),
        split[0] if split else None,
        tuple(names.index(each) for each in size),
        crowd[0] if crowd else None,
    )


def _gather(
    sheet: Sheet, split: str, photos: dict[tuple[Path, str], _Photo], faults: list[str]
) -> None:
    """Add the rows of a table to the photos that they name."""
    if not sheet.columns or not any({*map(str.lower, sheet.columns)} >= {*each} for each in SIDES):
        raise DatasetError(
            f"{sheet.path}: has no columns for the sides of a box ({', '.join(SIDES[0])}), as the "
            "training table has; give it the same, or move it away."
        )
    columns, folder = _columns(sheet), sheet.path.parent
    for place, cells in sheet.lines:
        own = cells[columns.split].lower() if columns.split is not None else ""
        if own and own not in SPLIT_NAMES:
            faults.append(f"{place}: split {shortened(own)!r}, allowed are {', '.join(SPLITS)}")
        if not cells[columns.path]:
            faults.append(f"{place}: no path")
            continue
        own = SPLIT_NAMES.get(own, split)
        size = [pixels_in(cells[at]) for at in columns.size]
        seen = (round(size[0]), round(size[1])) if len(size) == 2 and size[0] and size[1] else None
        photo = photos.setdefault(
            (folder, cells[columns.path]), _Photo(place, folder, own, seen, [], [], [])
        )
        if photo.split != own:
            faults.append(f"{place}: split {own!r}, and {photo.split!r} above for the same photo")
        if photo.size != seen:
            faults.append(f"{place}: another width or height than above for the same photo")
        texts = [cells[at] for at in columns.sides]
        name = class_name(original(cells[columns.label]))
        sides = [pixels_in(text) for text in texts]
        numbers = [each for each in sides if each is not None]
        if not name and not any(texts):
            continue
        if not name:
            faults.append(f"{place}: a box without a label")
        elif len(numbers) < len(texts):
            faults.append(
                f"{place}: the box is {shortened(', '.join(texts))!r}; it must be four numbers"
            )
        else:
            photo.boxes.append(numbers)
            photo.names.append(name)
            crowd = cells[columns.crowd].lower() if columns.crowd is not None else ""
            photo.is_crowd.append(crowd in ("1", "1.0", "true"))


def _drawn(photos: dict[tuple[Path, str], _Photo], faults: list[str]) -> list[Drawn]:
    finders, drawn = dict[Path, FileFinder](), list[Drawn]()
    for (folder, name), photo in photos.items():
        finder = finders.get(folder) or finders.setdefault(folder, FileFinder(folder))
        try:
            path = finder.find(name)
        except DatasetError as error:
            faults.append(f"{photo.place}: {error}")
            continue
        drawn.append(
            Drawn(
                photo.place,
                path,
                photo.split or None,
                photo.boxes,
                photo.names,
                photo.is_crowd,
                photo.size,
            )
        )
    return drawn


def _written(sheet: Sheet, faults: list[str]) -> list[Drawn]:
    """The photos of a table with all boxes of a photo in one cell."""
    names = [name.lower() for name in sheet.columns]
    order = [names.index(each) for each in Boxes.columns(())]
    finder, drawn = FileFinder(sheet.path.parent), list[Drawn]()
    for place, cells in sheet.lines:
        own = [original(cells[at]) for at in order]
        split = cells[names.index(SPLIT_COLUMN)].lower() if SPLIT_COLUMN in names else ""
        try:
            path = finder.find(cells[names.index("path")])
            classes = Boxes.classes_in(Boxes.columns(()), [own])
            boxes = Boxes.from_cells(own, classes)
        except (DatasetError, ValueError) as error:
            faults.append(f"{place}: {error}")
            continue
        drawn.append(
            Drawn(
                place,
                path,
                SPLIT_NAMES.get(split),
                boxes.xyxy.astype(float).tolist(),
                [classes[at] for at in boxes.classes.tolist()],
                boxes.is_crowd.tolist(),
                boxes.size if all(boxes.size) else None,
            )
        )
    return drawn
