"""YOLO's text files: a line for each box, and a data.yaml that names classes and folders.

A line is the index of a class and centre x, centre y, width and height, each from 0 to 1; or, as
tools for segmentation write it, the corners of a polygon, whose bounding box is taken. The file of
`images/a.jpg` is `labels/a.txt`, or `a.txt` beside the photo. A photo without a file, or with an
empty one, shows no object. Without a data.yaml, a folder of `images`, `labels` and `classes.txt` is
read as one part.

A key `boxes_drawn_on`, which other programs pass over, says whether photos that EXIF turns were
drawn on `upright` or as `stored`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pplcnet.data.class_names import class_name
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import PassedOver, find_images
from pplcnet.data.layouts.drawn_boxes import dataset_of_boxes
from pplcnet.data.layouts.list_text import SPLIT_NAMES, numbered_lines, read_text, shortened
from pplcnet.data.layouts.listed_images import FileFinder
from pplcnet.data.layouts.yolo_labels import LARGEST_BYTES, LabelFiles
from pplcnet.errors import DatasetError, InputError
from pplcnet.system.plain_yaml import parse_yaml
from pplcnet.system.wording import counted, listed

__all__ = ["read", "recognises"]

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
NAMED = 5
_KEY = re.compile(rb"^names\s*:", re.MULTILINE)
_ANY_KEY = re.compile(rb"^(names|nc|train|val)\s*:", re.MULTILINE)
DRAWN_ON = {"upright": False, "stored": True}
"""What boxes_drawn_on may say in a data.yaml of photos that EXIF turns."""


class _Part(NamedTuple):
    """The photos of one split."""

    split: str | None
    photos: list[Path]


def recognises(path: Path) -> bool:
    """Whether it is a .yaml file, or a folder with a data.yaml, or images, labels, classes.txt."""
    if os.path.isdir(path):
        return _yaml_in(path) is not None or _is_plain(path)
    return path.suffix.lower() in (".yaml", ".yml")


def read(path: Path) -> Dataset:
    """The photos with their boxes.

    Raises:
        DatasetError: the data.yaml is not usable, a folder is missing, or all faults of the lines.
        MissingDependencyError: PyYAML is not installed.
    """
    passed_over, faults, notes = PassedOver(), list[str](), list[str]()
    if os.path.isdir(path) and _yaml_in(path) is None:
        root, names, is_stored = path, _class_file(path / "classes.txt"), None
        parts = [_Part(None, [*find_images(path / "images", passed_over)])]
    else:
        file = (_yaml_in(path) if os.path.isdir(path) else path) or path
        settings = _settings(file)
        names = _names(file, settings.get("names"), settings.get("nc"))
        is_stored = _is_stored(file, settings.get("boxes_drawn_on"))
        root = _root(file, settings)
        parts = _parts(file, root, settings, passed_over, faults)
    passed_over.raise_unreadable(path)
    notes += passed_over.notes()
    lines = LabelFiles(names, faults)
    drawn = [
        each._replace(is_stored=is_stored)
        for part in parts
        for each in lines.drawn(part.photos, part.split)
    ]
    if lines.without:
        notes.append(
            f"{counted(len(lines.without), 'photo')} "
            f"{'has' if len(lines.without) == 1 else 'have'} no label file and therefore no boxes: "
            f"{listed(lines.without, NAMED)}."
        )
    if lines.polygons:
        notes.append(
            f"{counted(lines.polygons, 'line')} hold{'s' * (lines.polygons == 1)} the corners of a "
            "polygon; its bounding box was taken."
        )
    return dataset_of_boxes(path, root, names, drawn, faults=faults, notes=notes)


def _yaml_in(folder: Path) -> Path | None:
    # One without names is read where it can be nothing else, and then refused for what it lacks.
    is_yolo = all(os.path.isdir(folder / each) for each in ("images", "labels"))
    key = _ANY_KEY if is_yolo else _KEY
    return next((each for name in NAMES if _has_key(each := folder / name, key)), None)


def _has_key(path: Path, key: re.Pattern[bytes]) -> bool:
    """Whether there is a file with such a key; class folders may hold other YAML files."""
    try:
        with path.open("rb") as file:
            return os.path.isfile(path) and key.search(file.read(LARGEST_BYTES)) is not None
    except OSError:
        return False


def _is_plain(folder: Path) -> bool:
    return os.path.isfile(folder / "classes.txt") and all(
        os.path.isdir(folder / each) for each in ("images", "labels")
    )


def _class_file(path: Path) -> list[str]:
    return [class_name(line) for line in read_text(path).splitlines() if line.strip()]


def _settings(file: Path) -> dict[str, Any]:
    try:
        settings = parse_yaml(read_text(file), purpose=f"reading {file.name}")
    except DatasetError:
        raise
    except InputError as error:
        raise DatasetError(f"{file}: {error}") from error
    if not isinstance(settings, dict) or "names" not in settings:
        raise DatasetError(
            f"{file}: not a YOLO data set file: it has no 'names'. It needs names, train and val "
            "(and test), which are folders of photos or lists of them."
        )
    return settings


def _names(file: Path, given: Any, number: Any) -> list[str]:
    if isinstance(given, dict):
        indices = [int(key) if key.isdecimal() and len(key) < 6 else -1 for key in given]
        if sorted(indices) != list(range(len(given))):
            raise DatasetError(
                f"{file}: the keys of names are {listed([*map(shortened, given)], 12)}; they must "
                f"be 0 to {len(given) - 1}, because label files refer to classes by these numbers."
            )
        given = [given[key] for _, key in sorted(zip(indices, given, strict=True))]
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise DatasetError(
            f"{file}: names must be a list of names, or a mapping from numbers to names."
        )
    if number is not None and str(number) != str(len(given)):
        raise DatasetError(
            f"{file}: nc is {shortened(str(number))}, and {counted(len(given), 'class')} "
            f"{'is' if len(given) == 1 else 'are'} named; make them agree."
        )
    return [class_name(each) for each in given]


def _is_stored(file: Path, given: Any) -> bool | None:
    if given is not None and str(given) not in DRAWN_ON:
        raise DatasetError(
            f"{file}: boxes_drawn_on is {shortened(str(given))!r}; allowed are upright (photos as "
            "a person sees them) and stored (as they are before EXIF rotates them)."
        )
    return None if given is None else DRAWN_ON[str(given)]


def _root(file: Path, settings: dict[str, Any]) -> Path:
    """What train, val and test are relative to.

    `path` is often that of another machine; then it is the folder of the file.
    """
    folder, given = file.absolute().parent, settings.get("path")
    if isinstance(given, str) and given:
        for place in (folder / given, Path(given)):
            if os.path.isdir(place):
                return place
    return folder


def _parts(
    file: Path,
    root: Path,
    settings: dict[str, Any],
    passed_over: PassedOver,
    faults: list[str],
) -> list[_Part]:
    parts = []
    for key, split in SPLIT_NAMES.items():
        given = settings.get(key)
        places = given if isinstance(given, list) else [given]
        photos = [
            photo
            for each in places
            if isinstance(each, str) and each.strip()
            for photo in _photos(file, root, each.strip(), split, passed_over, faults)
        ]
        if photos:
            parts.append(_Part(split, photos))
    if not parts and not faults:
        raise DatasetError(f"{file}: names no train or val with photos.")
    if len({part.split for part in parts}) == 1:
        parts = [part._replace(split=None) for part in parts]
    return parts


def _photos(
    file: Path, root: Path, given: str, split: str, passed_over: PassedOver, faults: list[str]
) -> Sequence[Path]:
    """The photos of a folder, or of a list of photos."""
    # Roboflow writes ../train/images and means the folder beside the file.
    inner = given.replace("\\", "/").removeprefix("../")
    for place in (root / given, root / inner, file.absolute().parent / inner):
        if os.path.isdir(place):
            return [*find_images(place, passed_over)]
        if os.path.isfile(place) and place.suffix.lower() == ".txt":
            return [*_listed(place, faults)]
    faults.append(f"{file.name}: {split} is {shortened(given)!r}, which is no folder and no list")
    return ()


def _listed(file: Path, faults: list[str]) -> Iterator[Path]:
    finder = FileFinder(file.parent)
    for number, line in numbered_lines(read_text(file)):
        try:
            yield finder.find(line)
        except DatasetError as error:
            faults.append(f"{file.name} line {number}: {error}")
