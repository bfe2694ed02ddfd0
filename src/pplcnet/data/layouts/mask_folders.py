"""A folder of photos and one of masks with the same names.

`images/` and `masks/` lie beside each other, or in each of train, val and test; or both hold
folders train, val and test. `labels`, `annotations` and the like are read as masks where they hold
images. CamVid's `train` and `trainannot` and Carvana's `train` and `train_masks` are read as well.
The mask of `a.jpg` is `a.png`, or `a_mask.png` and the like. `mask_classes` describes the file that
names the classes.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import PassedOver, find_images, subfolders
from pplcnet.data.layouts.drawn_masks import Pair, dataset_of_masks
from pplcnet.data.layouts.list_text import SPLIT_NAMES
from pplcnet.data.layouts.mask_classes import find_classes
from pplcnet.errors import DatasetError
from pplcnet.system.wording import counted, listed, printable

__all__ = ["read", "recognises"]

PHOTOS = ("images", "image", "imgs", "img", "photos", "jpegimages")
MASKS = ("masks", "mask", "labels", "label", "annotations", "annotation", "gt", "ground_truth",
         "segmentation", "segmentations", "segmentationclass")  # fmt: skip
"""Names of the folders, in lower case."""
AFTER_SPLIT = ("_masks", "_mask", "_labels", "_label", "annot", "masks")
AFTER_NAME = ("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "-mask")
"""What the name of a mask may have more than that of its photo."""


class _Place(NamedTuple):
    """Photos, and where their masks are."""

    photos: Path
    masks: Path
    split: str | None


def recognises(path: Path) -> bool:
    """Whether it is a folder with photos and masks in such folders."""
    return os.path.isdir(path) and any(_holds_images(each.masks) for each in _places(path))


def read(path: Path) -> Dataset:
    """The photos with their masks.

    Raises:
        DatasetError: folders that cannot be read, or masks whose values are not certain.
    """
    places, passed_over = _places(path), PassedOver()
    pairs, unpaired = list[Pair](), list[str]()
    for place in places:
        pairs += _paired(path, place, passed_over, unpaired)
    passed_over.raise_unreadable(path)
    pairs = _with_splits(path, places, pairs)
    folders = [path, *(each.masks for each in places), *(each.masks.parent for each in places)]
    classes = find_classes([*dict.fromkeys(folders)])
    notes = passed_over.notes()
    suffixes = sorted({each for pair in pairs if (each := _suffix_of(pair))})
    if suffixes:
        notes.append(f"mask names are photo names followed by {listed(suffixes)}.")
    return dataset_of_masks(path, path, pairs, classes, unpaired=unpaired, notes=notes)


def _places(path: Path) -> list[_Place]:
    own = _beside(path, None)
    if own:
        return own
    found = []
    folders = _folders(path)
    by_name = {each.name.lower(): each for each in folders}
    for folder in folders:
        split = SPLIT_NAMES.get(folder.name.lower())
        if split is None:
            continue
        inner = _beside(folder, split)
        masks = next(
            (
                by_name[each]
                for end in AFTER_SPLIT
                if (each := folder.name.lower() + end) in by_name
            ),
            None,
        )
        if inner:
            found += inner
        elif masks is not None:
            found.append(_Place(folder, masks, split))
    return found


def _beside(folder: Path, split: str | None) -> list[_Place]:
    """The folders of photos and masks that lie in one folder; none unless both are there."""
    by_name = {each.name.lower(): each for each in _folders(folder)}
    photos = next((by_name[name] for name in PHOTOS if name in by_name), None)
    masks = next(
        (by_name[name] for name in MASKS if name in by_name and _holds_images(by_name[name])), None
    )
    if photos is None or masks is None or _has_xml_beside(by_name):
        return []
    return [_Place(photos, masks, split)]


def _has_xml_beside(by_name: dict[str, Path]) -> bool:
    """Whether these are VOC's folders, in which only some photos have masks."""
    return "jpegimages" in by_name and "segmentationclass" in by_name


def _folders(path: Path) -> list[Path]:
    try:
        return subfolders(path)
    except DatasetError:
        return []


def _holds_images(folder: Path) -> bool:
    return next(find_images(folder, PassedOver()), None) is not None


def _paired(
    root: Path, place: _Place, passed_over: PassedOver, unpaired: list[str]
) -> Iterator[Pair]:
    photos = [*find_images(place.photos, passed_over)]
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for mask in find_images(place.masks, passed_over):
        by_stem[_stem(mask, place.masks)].append(mask)
    stems = [_stem(each, place.photos) for each in photos]
    repeated = {stem for stem, number in Counter(stems).items() if number > 1}
    used = set[str]()
    for photo, stem in zip(photos, stems, strict=True):
        name = next((each for end in ("", *AFTER_NAME) if (each := stem + end) in by_stem), None)
        if name is None:
            shown = os.path.relpath(place.masks / stem, root).replace(os.sep, "/")
            yield Pair(photo, None, place.split, f"has no mask {printable(shown)}.png")
            continue
        used.add(name)
        masks = by_stem[name]
        if len(masks) > 1 or stem in repeated:
            what = (
                f"{len(masks)} masks are called {printable(name)}"
                if len(masks) > 1
                else f"another photo is called {printable(stem)} too, and has the same mask"
            )
            yield Pair(photo, None, place.split, f"{what}; keep one")
            continue
        yield Pair(photo, masks[0], place.split)
    for name in sorted(by_stem.keys() - used):
        shown = os.path.relpath(by_stem[name][0], root).replace(os.sep, "/")
        unpaired.append(
            f"{printable(shown)}: there is no photo of this name in {place.photos.name}"
        )


def _stem(path: Path, folder: Path) -> str:
    """The name below a folder, without its ending."""
    return os.path.splitext(os.path.relpath(path, folder).replace(os.sep, "/"))[0]


def _suffix_of(pair: Pair) -> str:
    if pair.mask is None or pair.mask.stem == pair.photo.stem:
        return ""
    return pair.mask.stem.removeprefix(pair.photo.stem)


def _with_splits(path: Path, places: Sequence[_Place], pairs: list[Pair]) -> list[Pair]:
    """The splits that folders in the folder of photos say."""
    if len(places) != 1 or places[0].split is not None:
        return pairs
    photos = places[0].photos
    parts = [pair.photo.relative_to(photos).parts for pair in pairs]
    named = [SPLIT_NAMES.get(each[0].lower()) if len(each) > 1 else None for each in parts]
    if not any(named):
        return pairs
    if not all(named):
        others = sorted({each[0] for each, split in zip(parts, named, strict=True) if not split})
        raise DatasetError(
            f"{path}: {photos.name} holds folders of splits beside {listed(others)} "
            f"({counted(named.count(None), 'photo')}); move the others away, or into a split."
        )
    return [pair._replace(split=split) for pair, split in zip(pairs, named, strict=True)]
