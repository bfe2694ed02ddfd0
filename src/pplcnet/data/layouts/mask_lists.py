"""Lists of photos and masks: pairs of paths as PaddleSeg has them, and VOC's ImageSets.

A list of pairs has `images/a.jpg masks/a.png` on each line, with a space or a tab between; a folder
with such a train_list.txt or train.txt is read by it. A list in `ImageSets/Segmentation` has a name
on each line: that of a photo in JPEGImages and of a mask in SegmentationClass. With a training
list, the lists of the other splits beside it are read too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import PassedOver, find_images
from pplcnet.data.layouts.drawn_masks import Pair, dataset_of_masks
from pplcnet.data.layouts.list_text import (
    lists_beside,
    notes_on_unread,
    numbered_lines,
    read_text,
    shortened,
    shown_beside,
)
from pplcnet.data.layouts.listed_images import FileFinder
from pplcnet.data.layouts.mask_classes import find_classes
from pplcnet.errors import DatasetError
from pplcnet.imaging.formats import ENDINGS
from pplcnet.system.wording import counted

__all__ = ["read", "recognises"]

PHOTOS, MASKS, LISTS = "JPEGImages", "SegmentationClass", ("ImageSets", "Segmentation")
TRAINING_LISTS = ("train_list.txt", "train.txt")
START_BYTES = 1 << 16
_ENDING = "|".join(sorted(re.escape(each) for each in ENDINGS))
_PAIR = re.compile(
    rf"(?P<photo>.+?(?:{_ENDING}))[\s,;|]+(?P<mask>\S.*(?:{_ENDING}))", re.IGNORECASE
)


def recognises(path: Path) -> bool:
    """Whether it is a list of pairs, a folder with one, or VOC's folder or list of masks."""
    if os.path.isdir(path):
        return _list_in(path) is not None or _is_voc_folder(path)
    if path.suffix.lower() != ".txt":
        return False
    return _is_of_voc(path) or _begins_with_pair(path)


def read(path: Path) -> Dataset:
    """The photos with their masks.

    Raises:
        DatasetError: a file is missing, or all faults of the lines, or masks whose values are not
            certain.
    """
    own = _list_in(path) if os.path.isdir(path) else None
    if own is not None:
        note = f"the photos and masks are those listed in {own.name}."
        dataset = _read_pairs(own)
        return replace(dataset, notes=(note, *dataset.notes))
    if os.path.isdir(path) or _is_of_voc(path):
        return _read_voc(path)
    return _read_pairs(path)


def _read_pairs(path: Path) -> Dataset:
    beside = lists_beside(path)
    faults, pairs = list[str](), list[Pair]()
    lists = [(path, "train"), *beside] if beside else [(path, None)]
    for file, split in lists:
        name = shown_beside(file, path)
        pairs += _listed_pairs(file, name, split, faults)
    if faults:
        raise DatasetError(f"{path}: {counted(len(faults), 'fault')}:", faults)
    folders = {file.absolute().parent for file, _ in lists}
    root = path.parent if len(folders) == 1 else path.absolute().parent.parent
    classes = find_classes([path.parent, root, *{pair.mask.parent for pair in pairs if pair.mask}])
    notes = notes_on_unread(path, [file for file, _ in beside])
    return dataset_of_masks(path, root, pairs, classes, notes=notes)


def _listed_pairs(file: Path, name: str, split: str | None, faults: list[str]) -> Iterator[Pair]:
    finder = FileFinder(file.parent)
    for number, line in numbered_lines(read_text(file)):
        place = f"{name} line {number}"
        found = _PAIR.fullmatch(line)
        if found is None:
            faults.append(
                f"{place}: {shortened(line)!r} is not the path of a photo and that of a mask"
            )
            continue
        try:
            photo, mask = finder.find(found["photo"]), finder.find(found["mask"])
        except DatasetError as error:
            faults.append(f"{place}: {error}")
            continue
        yield Pair(photo, mask, split)


def _list_in(folder: Path) -> Path | None:
    """The training list of pairs in a folder, else None."""
    lists = (folder / name for name in TRAINING_LISTS)
    return next((each for each in lists if os.path.isfile(each) and _begins_with_pair(each)), None)


def _is_voc_folder(path: Path) -> bool:
    return all(os.path.isdir(path / each) for each in (PHOTOS, MASKS))


def _is_of_voc(path: Path) -> bool:
    return path.absolute().parts[-3:-1] == LISTS


def _begins_with_pair(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            text = file.read(START_BYTES).decode("utf-8-sig", "ignore")
    except OSError:
        return False
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return _PAIR.fullmatch(first) is not None


def _read_voc(path: Path) -> Dataset:
    root = path if os.path.isdir(path) else path.absolute().parent.parent.parent
    splits, faults = _voc_splits(path, root), list[str]()
    photos, masks = (
        {each.stem: each for each in find_images(root / name, PassedOver())}
        for name in (PHOTOS, MASKS)
    )
    pairs = []
    for name, split in splits.items() if splits else ((each, None) for each in sorted(masks)):
        missing = [
            folder for folder, files in ((PHOTOS, photos), (MASKS, masks)) if name not in files
        ]
        if missing:
            faults.append(f"{shortened(name)}: not in {' and not in '.join(missing)}")
            continue
        pairs.append(Pair(photos[name], masks[name], split))
    if faults:
        raise DatasetError(f"{path}: {counted(len(faults), 'file')} missing:", faults)
    notes = []
    unused = len(masks) - len(pairs)
    if splits and unused:
        notes.append(f"{counted(unused, 'mask')} in none of the lists, and not used.")
    return dataset_of_masks(path, root, pairs, find_classes([root, root / MASKS]), notes=notes)


def _voc_splits(path: Path, root: Path) -> dict[str, str | None]:
    """The split of each name, from the lists; empty if there are none."""
    if os.path.isdir(path):
        folder = root.joinpath(*LISTS)
        train, trainval = (folder / f"{name}.txt" for name in ("train", "trainval"))
        path = train if os.path.isfile(train) else trainval
        if not os.path.isfile(path):
            return {}
    beside = [
        (file, split) for file, split in lists_beside(path) if file.stem.lower() != "trainval"
    ]
    found: dict[str, str | None] = {}
    for file, split in [(path, "train" if beside else None), *beside]:
        for _, line in numbered_lines(read_text(file)):
            name = line.split()[0]
            if found.setdefault(name, split) != split:
                raise DatasetError(
                    f"{file}: {shortened(name)} is also in the list of the {found[name]} split."
                )
    return found
