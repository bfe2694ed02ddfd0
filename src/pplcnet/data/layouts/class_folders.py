"""One folder per class, or train/validation/test folders of class folders."""

from __future__ import annotations

import os
from pathlib import Path

from pplcnet.data.annotations import ClassLabel
from pplcnet.data.class_names import class_name, name_faults, require_two_classes
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.image_files import PassedOver, find_images, subfolders
from pplcnet.data.layouts.list_text import SPLIT_NAMES
from pplcnet.data.layouts.repeats import without_repeats
from pplcnet.errors import DatasetError
from pplcnet.imaging.formats import image_endings
from pplcnet.system.wording import counted

__all__ = ["read", "recognises"]


def recognises(path: Path) -> bool:
    """Whether it is a folder."""
    return os.path.isdir(path)


def read(path: Path) -> Dataset:
    """The images in the class folders, at any depth.

    Raises:
        DatasetError: no such folder, no images, fewer than two classes, unusable names, or folders
            that cannot be read.
    """
    if not os.path.isdir(path):
        raise DatasetError(f"{path}: no such folder.")
    passed_over = PassedOver()
    places = _class_folders(path, passed_over)
    passed_over.raise_unreadable(path)
    classes = tuple(sorted({class_name(folder.name) for _, folder in places}))
    if not classes:
        raise DatasetError(_why_no_classes(path, passed_over))
    faults = name_faults(classes)
    if faults:
        raise DatasetError(f"{path}: its class folders need other names:", faults)
    index = {name: at for at, name in enumerate(classes)}
    images = tuple(
        LabelledImage(file, ClassLabel(index[class_name(folder.name)]), split)
        for split, folder in places
        for file in find_images(folder, passed_over)
    )
    passed_over.raise_unreadable(path)
    notes = tuple(passed_over.notes())
    if not images:
        raise DatasetError(
            f"{path}: no images ({', '.join(sorted(image_endings()))}) in its "
            f"{counted(len(classes), 'class folder')}.",
            notes,
        )
    require_two_classes(path, classes, hint=_pointer_into(path / classes[0]))
    return without_repeats(Dataset(path, classes, images, notes=notes))


def _class_folders(root: Path, passed_over: PassedOver) -> list[tuple[str | None, Path]]:
    """Split and path of each."""
    folders = subfolders(root, passed_over)
    splits = {each: SPLIT_NAMES.get(each.name.lower()) for each in folders}
    if folders and all(splits.values()):
        return [
            (split, class_folder)
            for folder, split in splits.items()
            for class_folder in subfolders(folder, passed_over)
        ]
    # A split folder taken for a class would be trained on.
    of_splits = [each.name for each, split in splits.items() if split and subfolders(each)]
    others = [each.name for each, split in splits.items() if not split]
    if of_splits and others:
        raise DatasetError(
            f"{root}: contains split folders ({', '.join(of_splits)}) and other folders "
            f"({', '.join(others)}); move the others away, or give one of them as the data set."
        )
    return [(None, folder) for folder in folders]


def _why_no_classes(root: Path, passed_over: PassedOver) -> str:
    loose = sum(1 for _ in find_images(root, passed_over))
    found = f"{counted(loose, 'image')} but no class folders" if loose else "no images"
    tables = sorted([*root.glob("*.csv"), *root.glob("*/*.csv")])
    hint = f" If {tables[0]} contains the labels, give that file." if tables else ""
    return (
        f"{root}: {found}. Expected: one folder per class (PHOTOS/cat/1.jpg), or "
        f"train/validation/test folders of class folders.{hint}"
    )


def _pointer_into(only: Path) -> str:
    """What to say if the only class folder looks like the data set itself."""
    if only.is_dir() and len(subfolders(only)) > 1:
        return f" If the class folders are those in {only}, give that folder."
    return ""
