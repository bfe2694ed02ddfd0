"""What photos and classes are called in COCO results: an annotation file's ids, or plain names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from pplcnet.data.class_names import class_name
from pplcnet.data.layouts.list_text import read_text
from pplcnet.errors import DatasetError, printable

__all__ = ["CocoNames", "plain_names", "read_coco_names"]

Key = int | str


class CocoNames(NamedTuple):
    """The ids to use in results."""

    categories: tuple[Key, ...]
    """The `category_id` of each class."""
    images: Mapping[str, list[tuple[tuple[str, ...], Key]]] | None
    """File name to the parts of its path and its `image_id`; None if the names are the ids."""

    def image_id(self, path: str) -> Key | None:
        """A photo's id; None if the annotation file does not have the photo.

        If several folders have a file of that name, the photo's path must end with the listed path.
        """
        if self.images is None:
            return PurePath(path).name
        parts = PurePath(path).parts
        named = self.images.get(parts[-1] if parts else "", [])
        if len(named) == 1:
            return named[0][1]
        found = [key for place, key in named if parts[-len(place) :] == place]
        return found[0] if len(found) == 1 else None


def plain_names(classes: Sequence[str]) -> CocoNames:
    """Names for results without an annotation file: file names, and classes counted from 1."""
    return CocoNames(tuple(range(1, len(classes) + 1)), None)


def read_coco_names(path: Path, classes: Sequence[str]) -> CocoNames:
    """The ids of a COCO annotation file; its `annotations` are not needed.

    Raises:
        DatasetError: the file cannot be read, has no images and categories with ids and names, or
            lacks one of the classes.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: not JSON ({str(error)[:200]}).") from error
    categories = {
        class_name(name): key for name, key in _pairs(path, content, "categories", "name")
    }
    missing = [name for name in classes if class_name(name) not in categories]
    if missing:
        raise DatasetError(
            f"{path}: its categories do not have the bundle's class {printable(missing[0])!r}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; results can only be "
            "compared with annotations of the same classes."
        )
    images: dict[str, list[tuple[tuple[str, ...], Key]]] = {}
    for name, key in _pairs(path, content, "images", "file_name"):
        parts = PurePath(name).parts
        images.setdefault(parts[-1] if parts else "", []).append((parts, key))
    return CocoNames(tuple(categories[class_name(name)] for name in classes), images)


def _pairs(path: Path, content: Any, what: str, field: str) -> list[tuple[str, Key]]:
    rows = content.get(what) if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise DatasetError(f"{path}: not COCO JSON: it has no list {what!r}.")
    for at, row in enumerate(rows):
        is_row = isinstance(row, dict) and isinstance(row.get(field), str)
        if not is_row or not isinstance(row.get("id"), int | str):
            raise DatasetError(f"{path}: {what}[{at}] has no {field!r}, or no 'id'.")
    return [(row[field], row["id"]) for row in rows]
