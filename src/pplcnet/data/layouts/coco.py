"""COCO's JSON of boxes: `images`, `annotations` and `categories`.

With a training file (train.json, instances_train2017.json, train/_annotations.coco.json), the files
of the other splits beside it are read too. A box is left, top, width, height in pixels, with no
pixel added. Polygons, keypoints and areas are not read. Categories are known by their names: ids
need not start at 0, may have gaps, and may differ between files.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pplcnet.data.boxes import MOST_PIXELS
from pplcnet.data.class_names import class_name
from pplcnet.data.dataset import Dataset
from pplcnet.data.layouts.drawn_boxes import Drawn, dataset_of_boxes
from pplcnet.data.layouts.list_text import (
    lists_beside,
    notes_on_unread,
    read_text,
    shortened,
    shown_beside,
)
from pplcnet.data.layouts.listed_images import FileFinder
from pplcnet.errors import DatasetError
from pplcnet.system.wording import listed

__all__ = ["read", "recognises"]

# Where a folder may have its file: under what name, as a pattern.
PATTERNS = (
    "train.json",
    "annotations/train.json",
    "instances_train*.json",
    "annotations/instances_train*.json",
    "train/_annotations.coco.json",
    "annotations/instances_default.json",
    "_annotations.coco.json",
)
START_BYTES = 4096
_KEY = re.compile(rb'"(info|licenses|images|annotations|categories)"\s*:')
TRIED = 5
"""Names that decide which folder holds the photos."""
NAMED_CATEGORIES = 12

Key = int | str
"""An id."""


class _File(NamedTuple):
    """A file of one split."""

    path: Path
    name: str
    """For messages."""
    split: str | None
    images: list[Any]
    annotations: list[Any]
    categories: list[Any]


def recognises(path: Path) -> bool:
    """Whether it is a .json file, or a folder that has one where COCO's layouts have it."""
    if os.path.isdir(path):
        return _file_in(path) is not None
    return path.suffix.lower() == ".json"


def read(path: Path) -> Dataset:
    """The photos and boxes of a file, and of those of the other splits beside a training file.

    Raises:
        DatasetError: a file cannot be read or is not COCO's JSON; or all faults in it.
    """
    file = (_file_in(path) or path) if os.path.isdir(path) else path
    beside = lists_beside(file)
    own = _read_file(file, shown_beside(file, file), "train" if beside else None)
    if own is None:
        raise DatasetError(f"{file}: not COCO JSON: it has no list 'annotations'.")
    files, notes = [own], notes_on_unread(file, [each for each, _ in beside])
    for other, split in beside:
        shown = shown_beside(other, file)
        found = _read_file(other, shown, split)
        if found is None:
            notes.append(f"{shown} has no boxes and is not used.")
        else:
            files.append(found)
    if len(files) == 1:
        files = [own._replace(split=None)]
    faults = list[str]()
    named = [_names_of(each, faults) for each in files]
    used = [_used_ids(each) for each in files]
    classes = _classes(named, used, files, notes)
    drawn = [
        photo
        for each, names in zip(files, named, strict=True)
        for photo in _drawn(each, names, faults)
    ]
    notes += _ids_said(named, files, classes)
    folders = {each.path.absolute().parent for each in files}
    root = file.parent if len(folders) == 1 else file.absolute().parent.parent
    return dataset_of_boxes(path, root, classes, drawn, faults=faults, notes=notes)


def _file_in(folder: Path) -> Path | None:
    for pattern in PATTERNS:
        found = sorted(each for each in folder.glob(pattern) if _begins_like_coco(each))
        if found:
            return found[0]
    return None


def _begins_like_coco(path: Path) -> bool:
    """Whether one of COCO's keys is near the start; class folders may hold other JSON files."""
    try:
        with path.open("rb") as file:
            return os.path.isfile(path) and _KEY.search(file.read(START_BYTES)) is not None
    except OSError:
        return False


def _read_file(path: Path, name: str, split: str | None) -> _File | None:
    """None for a file that lists photos without annotations."""

    def refuse(constant: str) -> None:
        raise ValueError(f"it contains {constant}, which is not valid JSON")

    try:
        content = json.loads(read_text(path), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: not JSON ({str(error)[:200]}).") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DatasetError(
            f"{path}: not COCO JSON: it has no list 'images'. The lists images, annotations and "
            "categories are expected."
        )
    if "annotations" not in content:
        return None
    lists: list[Any] = [content.get(each) for each in ("images", "annotations", "categories")]
    if not all(isinstance(each, list) for each in lists):
        what = "images, annotations and categories must be lists"
        raise DatasetError(f"{path}: not COCO JSON: {what}.")
    return _File(path, name, split, *lists)


def _is_key(value: Any) -> bool:
    return type(value) in (int, str)


def _names_of(file: _File, faults: list[str]) -> dict[Key, str]:
    """The names of the categories by id, in the order of the file."""
    names: dict[Key, str] = {}
    for at, each in enumerate(file.categories):
        own: dict[str, Any] = each if isinstance(each, dict) else {}
        key: Any = own.get("id")
        name = own.get("name")
        if not _is_key(key) or not isinstance(name, str):
            faults.append(f"{file.name}: category {at + 1} of the list lacks an id or a name")
        elif key in names:
            faults.append(f"{file.name}: two categories have the id {shortened(repr(key))}")
        else:
            names[key] = class_name(name)
    for name, count in Counter(names.values()).items():
        if count > 1:
            faults.append(f"{file.name}: {count} categories are called {shortened(name)!r}")
    return names


def _used_ids(file: _File) -> set[Any]:
    """Ids of the categories that some annotation has."""
    ids = (each.get("category_id") for each in file.annotations if isinstance(each, dict))
    return {each for each in ids if _is_key(each)}


def _classes(
    named: list[dict[Key, str]], used: list[set[Any]], files: list[_File], notes: list[str]
) -> list[str]:
    """Names in the order of the first file; what only groups others is left out."""
    groups = {
        str(each.get("supercategory"))
        for file in files
        for each in file.categories
        if isinstance(each, dict)
    }
    with_boxes = {
        names[key] for names, keys in zip(named, used, strict=True) for key in keys if key in names
    }
    found = dict.fromkeys(name for names in named for name in names.values())
    empty = [name for name in found if name in groups and name not in with_boxes]
    if empty:
        notes.append(
            f"{listed([repr(each) for each in empty])} only groups other categories and has no "
            "boxes; it is left out."
        )
    return [name for name in found if name not in empty]


def _ids_said(named: list[dict[Key, str]], files: list[_File], classes: list[str]) -> Iterator[str]:
    """Notes on ids that are not the indices of the classes: the usual silent error."""
    index = {name: at for at, name in enumerate(classes)}
    for at, (names, file) in enumerate(zip(named, files, strict=True)):
        ids = {name: key for key, name in names.items() if name in index}
        is_as_before = at and ids == {name: key for key, name in named[0].items() if name in index}
        if is_as_before or all(index[name] == key for name, key in ids.items()):
            continue
        pairs = [f"{key} {name} = class {index[name]}" for name, key in ids.items()]
        yield (
            f"{file.name}: categories are matched by name, not by id: "
            f"{listed(pairs, NAMED_CATEGORIES)}."
        )


def _drawn(file: _File, names: Mapping[Key, str], faults: list[str]) -> Iterable[Drawn]:
    """The photos of a file with their boxes."""
    images: dict[Key, Mapping[str, Any]] = {}
    for at, image in enumerate(file.images):
        own: dict[str, Any] = image if isinstance(image, dict) else {}
        key: Any = own.get("id")
        name = own.get("file_name")
        if not _is_key(key) or not isinstance(name, str) or not name:
            faults.append(f"{file.name}: image {at + 1} of the list lacks an id or a file_name")
        elif key in images:
            faults.append(f"{file.name}: two images have the id {shortened(repr(key))}")
        else:
            images[key] = own
    boxes: dict[Key, list[tuple[list[float], str, bool]]] = {key: [] for key in images}
    for at, annotation in enumerate(file.annotations):
        said: dict[str, Any] = annotation if isinstance(annotation, dict) else {}
        place = f"{file.name}: annotation {shortened(repr(said.get('id', f'number {at + 1}')))}"
        shown: Any = said.get("image_id")
        category: Any = said.get("category_id")
        box: Any = said.get("bbox")
        if not _is_key(shown) or shown not in boxes:
            faults.append(f"{place}: there is no image with the id {shortened(repr(shown))}")
        elif not _is_key(category) or category not in names:
            faults.append(f"{place}: there is no category with the id {shortened(repr(category))}")
        elif not _is_box(box):
            faults.append(
                f"{place}: bbox is {shortened(repr(box))}; it must be four numbers: left, top, "
                "width, height"
            )
        else:
            left, top, width, height = box
            crowd = said.get("iscrowd") in (1, True) or said.get("ignore") in (1, True)
            corners = [left, top, left + width, top + height]
            boxes[shown].append((corners, names[category], crowd))
    finder = FileFinder(_folder_of_photos(file, images))
    for key, photo in images.items():
        name = str(photo["file_name"])
        try:
            path = finder.find(name)
        except DatasetError as error:
            faults.append(f"{file.name}: {error}")
            continue
        yield Drawn(
            f"{file.name}: {shortened(name)}",
            path,
            file.split,
            [corners for corners, _, _ in boxes[key]],
            [name for _, name, _ in boxes[key]],
            [crowd for _, _, crowd in boxes[key]],
            _size(photo.get("width"), photo.get("height")),
        )


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    if type(width) is int and type(height) is int and width > 0 and height > 0:
        return width, height
    return None


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(type(each) in (int, float) and abs(each) < MOST_PIXELS for each in box)
    )


def _folder_of_photos(file: _File, images: Mapping[Key, Mapping[str, Any]]) -> Path:
    """The first of the usual folders in which the first photos are; else that of the file."""
    folder = file.path.absolute().parent
    part = file.path.stem.rsplit("_", 1)[-1]  # "train2017" of "instances_train2017"
    tried = [str(each["file_name"]).replace("\\", "/") for each in [*images.values()][:TRIED]]
    above = folder.parent
    for place in (
        folder, folder / "images", folder / part, folder / "images" / part, above / "images" / part,
        above / part, above / "images", above,
    ):  # fmt: skip
        if any(os.path.isfile(place / name) for name in tried):
            return place
    return folder
