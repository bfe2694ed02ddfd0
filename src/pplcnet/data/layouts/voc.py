"""Pascal VOC's folders: an XML file for each photo.

Given is the folder of the XML files, the one around `Annotations` and `JPEGImages`, or one of
train, valid and test folders that hold photos and XML files side by side. An XML file belongs to
the photo with its name. `ImageSets/Main/train.txt`, `val.txt` and `test.txt`, or such lists beside
the folder of the XML files, give the splits. Coordinates are taken as they stand, no pixel is
added; an object marked as difficult counts as a crowd.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pplcnet.data.boxes import pixels_in
from pplcnet.data.class_names import class_name
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import PassedOver, find_images, subfolders
from pplcnet.data.layouts.drawn_boxes import Drawn, dataset_of_boxes
from pplcnet.data.layouts.list_text import SPLIT_NAMES, numbered_lines, read_text, shortened
from pplcnet.data.layouts.plain_xml import Element, parse_xml
from pplcnet.errors import DatasetError
from pplcnet.system.parallel import in_order
from pplcnet.system.wording import counted, listed, printable

__all__ = ["read", "recognises"]

XML_FOLDERS = ("Annotations", "annotations", "xml", "labels")
PHOTO_FOLDERS = ("JPEGImages", "images", "Images", "img")
LISTS = {"train": "train", "trainval": "train", "val": "validation", "test": "test"}
TRIED = 20
START_BYTES = 1024
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Place(NamedTuple):
    """XML files, and where their photos are."""

    xml: Path
    photos: Path
    split: str | None


def recognises(path: Path) -> bool:
    """Whether it is a folder with XML files where VOC's layouts have them."""
    return os.path.isdir(path) and bool(_places(path))


def read(path: Path) -> Dataset:
    """The photos that have an XML file, with their boxes.

    Raises:
        DatasetError: files that are no XML of VOC, photos that are missing, or no photos.
    """
    faults, notes, drawn = list[str](), list[str](), list[Drawn]()
    passed_over = PassedOver()
    for place in _places(path):
        drawn += _drawn_in(path, place, passed_over, faults, notes)
    passed_over.raise_unreadable(path)
    classes = sorted({name for each in drawn for name in each.names})
    difficult = sum(sum(each.is_crowd) for each in drawn)
    if difficult:
        notes.append(
            f"{counted(difficult, 'object')} {'is' if difficult == 1 else 'are'} marked as "
            "difficult: neither trained on nor counted."
        )
    root = path.parent if drawn and not drawn[0].path.is_relative_to(path) else path
    return dataset_of_boxes(path, root, classes, drawn, faults=faults, notes=notes)


def _places(path: Path) -> list[_Place]:
    if _has_xml(path):
        beside = (path.parent / name for name in PHOTO_FOLDERS)
        inside = (path / name for name in PHOTO_FOLDERS)
        photos = next((each for each in (*inside, *beside) if os.path.isdir(each)), path)
        own = next(find_images(path, PassedOver()), None)
        return [_Place(path, path if own is not None else photos, None)]
    for name in XML_FOLDERS:
        if _has_xml(path / name):
            photos = next(
                (each for folder in PHOTO_FOLDERS if os.path.isdir(each := path / folder)), path
            )
            return [_Place(path / name, photos, None)]
    found = []
    for folder in subfolders(path, PassedOver()):
        split = SPLIT_NAMES.get(folder.name.lower())
        if split and (inner := _places(folder)):
            found += [each._replace(split=split) for each in inner]
    return found


def _has_xml(folder: Path) -> bool:
    """Whether it holds XML files, of VOC by its name or theirs: class folders may hold others."""
    try:
        files = sorted(each for each in os.listdir(folder) if _is_xml(each))
        if folder.name == XML_FOLDERS[0]:
            return bool(files)
        return any(_begins_like_voc(folder / each) for each in files[:TRIED])
    except OSError:
        return False


def _begins_like_voc(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<annotation" in file.read(START_BYTES)


def _is_xml(name: str) -> bool:
    return name.lower().endswith(".xml") and not name.startswith(".")


def _drawn_in(
    given: Path, place: _Place, passed_over: PassedOver, faults: list[str], notes: list[str]
) -> Iterator[Drawn]:
    photos: dict[str, list[Path]] = {}
    for photo in find_images(place.photos, passed_over):
        photos.setdefault(photo.stem, []).append(photo)
    files = sorted(each for each in os.listdir(place.xml) if _is_xml(each))
    split_of = _splits(given, place.xml) if place.split is None else {}
    unlisted, used = 0, set[Path]()
    for name, root in zip(
        files, in_order(_parse, (place.xml / each for each in files)), strict=True
    ):
        stem = os.path.splitext(name)[0]
        shown = f"{printable(place.xml.name)}/{printable(name)}"
        if isinstance(root, DatasetError):
            faults.append(f"{shown}: {root}")
            continue
        if split_of and stem not in split_of:
            unlisted += 1
            used.update(photos.get(stem, ()))
            continue
        # The name in the file is often that of before the photos were renamed.
        stated = root.text_of("filename").replace("\\", "/").rsplit("/", 1)[-1]
        found = photos.get(stem) or photos.get(os.path.splitext(stated)[0], [])
        if len(found) != 1:
            many = (
                f"{len(found)} photos are called {shortened(stem)}"
                if found
                else (f"there is no photo {shortened(stem)} in {place.photos.name}")
            )
            faults.append(f"{shown}: {many}")
            continue
        used.add(found[0])
        split = place.split or split_of.get(stem)
        one = _read_objects(shown, root, faults)
        yield Drawn(shown, found[0], split, one.boxes, one.names, one.is_crowd, one.size)
    without = sum(map(len, photos.values())) - len(used)
    if without:
        notes.append(
            f"{counted(without, 'photo')} in {place.photos.name} without an XML file "
            f"{_is(without)} not used; a photo without objects needs an XML file without <object>."
        )
    if unlisted:
        notes.append(
            f"{counted(unlisted, 'XML file')} {_is(unlisted)} in none of the lists of the splits, "
            "and not used."
        )


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _parse(path: Path) -> Element | DatasetError:
    try:
        return parse_xml(path)
    except DatasetError as error:
        return error


def _splits(given: Path, xml: Path) -> dict[str, str]:
    """The split of each name, from the lists; empty if there are none."""
    folders = (given / "ImageSets" / "Main", xml.absolute().parent / "ImageSets" / "Main", given,
               xml.absolute().parent)  # fmt: skip
    for folder in folders:
        lists = {name: folder / f"{name}.txt" for name in LISTS}
        there = {name: each for name, each in lists.items() if os.path.isfile(each)}
        if "train" in there:
            there.pop("trainval", None)
        if not there or not {"train", "trainval"} & set(there):
            continue
        found: dict[str, str] = {}
        for name, file in there.items():
            for _, line in numbered_lines(read_text(file)):
                stem = os.path.splitext(os.path.basename(line.split()[0].replace("\\", "/")))[0]
                other = found.setdefault(stem, LISTS[name])
                if other != LISTS[name]:
                    raise DatasetError(
                        f"{file}: {shortened(stem)} is also in the list of the {other} split."
                    )
        return found
    return {}


class _Objects(NamedTuple):
    boxes: list[list[float]]
    names: list[str]
    is_crowd: list[bool]
    size: tuple[int, int] | None


def _read_objects(place: str, root: Element, faults: list[str]) -> _Objects:
    found = _Objects([], [], [], _size(root))
    if root.name != "annotation":
        faults.append(
            f"{place}: begins with <{shortened(root.name)}>, and VOC's files with <annotation>"
        )
        return found
    for at, each in enumerate(root.all("object"), 1):
        name = class_name(each.text_of("name"))
        texts = [each.text_of("bndbox", corner) for corner in CORNERS]
        corners = [pixels_in(text) for text in texts]
        if not name:
            faults.append(f"{place}: object {at} has no name")
        elif None in corners:
            listed_texts = listed(
                [f"{key} {shortened(text)!r}" for key, text in zip(CORNERS, texts, strict=True)]
            )
            faults.append(
                f"{place}: object {at} ({shortened(name)}) has {listed_texts}; all four must be "
                "numbers"
            )
        else:
            found.boxes.append([each for each in corners if each is not None])
            found.names.append(name)
            found.is_crowd.append(each.text_of("difficult") == "1")
    return found


def _size(root: Element) -> tuple[int, int] | None:
    """What the tool saw; some tools write 0 and 0."""
    width, height = (pixels_in(root.text_of("size", key)) for key in ("width", "height"))
    return (round(width), round(height)) if width and height else None
