"""Lists of images with label ids, in the format of PaddleClas and PaddleX.

A list has `relative/path.jpg 3` on each line. A label file beside it names the classes: one name
per line, where the first line has id 0, or `3 name` per line in any order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from pplcnet.data.class_names import class_name, name_faults
from pplcnet.data.dataset import Dataset
from pplcnet.data.layouts.list_text import (
    lists_beside,
    notes_on_unread,
    numbered_lines,
    read_text,
    shortened,
    shown_beside,
)
from pplcnet.data.layouts.listed_images import Listed, Row, dataset_of_classes
from pplcnet.errors import DatasetError
from pplcnet.system.wording import listed

__all__ = ["LABEL_FILES", "read", "read_label_file", "read_list_file", "recognises"]

LABEL_FILES = ("labels.txt", "label_list.txt", "label.txt", "classes.txt")
TRAINING_LISTS = ("train_list.txt", "train.txt")
SHOWN_IDS = 12
# Digits; more than any id has, but Python can still read them.
LONGEST_ID = 9

_ITEM = re.compile(r"(?P<path>.*\S)\s+(?P<id>\S+)")
_ID_FIRST = re.compile(r"(?P<id>[0-9]+)(?:\s*[:,]\s*|\s+)(?P<name>\S.*)")
_ID_LAST = re.compile(r"[\s:,]([0-9]+)")
_SEVERAL_IDS = re.compile(r"[0-9]+(?:[,;|][0-9]+)+")


def recognises(path: Path) -> bool:
    """Whether it is a .txt file, or a folder with a training list and a label file."""
    if os.path.isdir(path):
        return _list_in(path) is not None
    return path.suffix.lower() == ".txt"


def read(path: Path) -> Dataset:
    """The images of a list, or of the training list in a folder.

    Raises:
        DatasetError: as `read_list_file`.
    """
    listed = _list_in(path) if os.path.isdir(path) else None
    if listed is None:
        return read_list_file(path)
    try:
        dataset = read_list_file(listed)
    except DatasetError as error:
        raise DatasetError(
            f"{path}: contains a list of photos and a label file, which are read instead of class "
            f"folders; move the list away to read the folders. {error.summary}",
            error.faults,
        ) from error
    note = f"the photos are those listed in {listed.name}; folder names are ignored."
    return replace(dataset, notes=(note, *dataset.notes))


def read_list_file(path: Path, label_file: str | PathLike[str] | None = None) -> Dataset:
    """The images of a list, and of the lists of other splits beside a training list.

    Args:
        label_file: names the classes; None takes the one of LABEL_FILES beside the list.

    Raises:
        DatasetError: a file cannot be read, or label files contradict themselves or one another; or
            all faults of the lines.
    """
    return dataset_of_classes(path, _read_lists(path, label_file))


def _list_in(folder: Path) -> Path | None:
    """The training list of a folder that has one with a label file, else None."""
    for name in TRAINING_LISTS:
        path = folder / name
        if os.path.isfile(path) and _label_files(path):
            return path
    return None


def _read_lists(path: Path, label_file: str | PathLike[str] | None) -> Listed:
    classes = _classes(path, label_file)
    beside = lists_beside(path)
    rows, faults = [], []
    notes = notes_on_unread(path, [file for file, _ in beside])
    lists = [(path, "train", numbered_lines(read_text(path)))]
    for file, split in beside:
        lines = numbered_lines(read_text(file))
        if any(_has_id(line) for _, line in lines):
            lists.append((file, split, lines))
        elif lines:
            notes.append(f"{shown_beside(file, path)} has no labels and is not used.")
        else:
            notes.append(f"{shown_beside(file, path)} lists no photos.")
    allowed = f"{_allowed(classes)} by {Path(label_file or _label_files(path)[0]).name}"
    index: dict[int | None, str] = dict(sorted(classes.items()))
    for file, split, lines in lists:
        name = shown_beside(file, path)
        if file.parent != path.parent and _label_files(file) and _classes(file, None) != classes:
            raise DatasetError(f"{path}: the label file of {name} ({split}) names other classes.")
        for number, line in lines:
            place = f"{name} line {number}"
            item = _ITEM.fullmatch(line)
            if item is None:
                faults.append(
                    f"{place}: {shortened(line)!r} has no label id; a line is a path, a space "
                    "or tab, and an id"
                )
                continue
            label = index.get(_number(item["id"]), "")
            if not label:
                several = "; lists have one label per photo; use a CSV for several"
                place += f" (label {shortened(item['id'])!r}, allowed are {allowed}"
                place += f"{several if _SEVERAL_IDS.fullmatch(item['id']) else ''})"
            own_split = split if len(lists) > 1 else ""
            rows.append(Row(place, item["path"], label, own_split, file.parent))
    return Listed(rows, tuple(index.values()), faults, tuple(notes))


def _has_id(line: str) -> bool:
    item = _ITEM.fullmatch(line)
    return item is not None and _number(item["id"]) is not None


def _number(text: str) -> int | None:
    if text.isascii() and text.isdecimal() and len(text) <= LONGEST_ID:
        return int(text)
    return None


def _allowed(classes: Mapping[int, str]) -> str:
    ids = sorted(classes)
    if ids == list(range(len(ids))):
        return f"0 to {len(ids) - 1}"
    return listed([str(id_) for id_ in ids], SHOWN_IDS)


def _label_files(path: Path) -> list[Path]:
    beside = (path.with_name(name) for name in LABEL_FILES if name != path.name)
    return [each for each in beside if os.path.isfile(each)]


def _classes(path: Path, label_file: str | PathLike[str] | None) -> dict[int, str]:
    """Class name by id."""
    if label_file is not None:
        return read_label_file(Path(label_file))
    files = _label_files(path)
    if not files:
        raise DatasetError(
            f"{path}: no label file; put one of {', '.join(LABEL_FILES)} beside it, with one "
            "class name per line, or an id and a name per line."
        )
    classes = read_label_file(files[0])
    for other in files[1:]:
        if read_label_file(other) != classes:
            raise DatasetError(
                f"{path}: {files[0].name} and {other.name} beside it name different classes; move "
                "the wrong one away."
            )
    return classes


def read_label_file(path: Path) -> dict[int, str]:
    """Class name by id.

    Raises:
        DatasetError: it cannot be read, or its names or ids are not usable.
    """
    text = read_text(path)
    lines = numbered_lines(text)
    if not lines:
        raise DatasetError(f"{path}: empty; it has to name the classes, one per line.")
    named = [_ID_FIRST.fullmatch(line) for _, line in lines]
    count = sum(each is not None for each in named)
    if count == len(lines):
        pairs = [
            (number, each["id"], class_name(each["name"]))
            for (number, _), each in zip(lines, named, strict=True)
            if each is not None
        ]
        return _with_ids(path, pairs)
    if 2 * count >= len(lines):
        number = next(
            number for (number, _), each in zip(lines, named, strict=True) if each is None
        )
        raise DatasetError(
            f"{path}: {count} of {len(lines)} lines begin with an id, and line {number} does not. "
            "Write an id and a name on every line (where names begin with numbers, too)."
        )
    return _without_ids(path, lines)


def _with_ids(path: Path, lines: Sequence[tuple[int, str, str]]) -> dict[int, str]:
    faults, classes = [], dict[int, str]()
    for number, text, name in lines:
        id_ = _number(text)
        if id_ is None:
            faults.append(f"line {number}: id {text[:SHOWN_IDS]}... is too large")
        elif id_ in classes:
            faults.append(f"line {number}: id {id_} is {name!r} here and {classes[id_]!r} above")
        else:
            classes[id_] = name
    faults += _repeated([(number, name) for number, _, name in lines])
    return _usable(path, classes, faults)


def _without_ids(path: Path, lines: Sequence[tuple[int, str]]) -> dict[int, str]:
    """The order of the lines gives the ids."""
    faults = []
    for expected, (number, _) in enumerate(lines, 1):
        if number != expected:
            faults.append(
                f"line {expected}: empty, so that the ids of the names below are not certain; "
                "remove it or write ids"
            )
            break
    comment = next((number for number, line in lines if line.startswith("#")), None)
    if comment is not None:
        faults.append(
            f"line {comment}: begins with #, and a comment would shift the ids; remove it, or "
            "write ids if it is a name"
        )
    ids = [_id_at_end(line) for _, line in lines]
    ordered = sorted(ids)
    if ids != ordered and ordered in (
        list(range(len(lines))),
        list(range(1, len(lines) + 1)),
    ):
        faults.append(
            "its lines end with numbers that are not in order; if these are the ids, write them "
            "before the names"
        )
    names = [(number, class_name(line)) for number, line in lines]
    return _usable(path, dict(enumerate(name for _, name in names)), [*faults, *_repeated(names)])


def _id_at_end(line: str) -> int:
    """The number behind the last space, colon or comma, or -1."""
    digits = len(line) - len(line.rstrip("0123456789"))
    found = _ID_LAST.fullmatch(line[-digits - 1 :]) if digits else None
    number = _number(found[1]) if found else None
    return -1 if number is None else number


def _repeated(names: Sequence[tuple[int, str]]) -> list[str]:
    places: dict[str, list[str]] = {}
    for number, name in names:
        places.setdefault(name, []).append(str(number))
    return [
        f"{name!r} is the name of {len(numbers)} classes (lines {listed(numbers)}); give each "
        "another"
        for name, numbers in places.items()
        if len(numbers) > 1
    ]


def _usable(path: Path, classes: dict[int, str], faults: list[str]) -> dict[int, str]:
    faults = [*faults, *name_faults(classes.values())]
    if faults:
        raise DatasetError(f"{path}: its class names cannot be used:", faults)
    return classes
