"""The names of the classes in masks, and which values or colours stand for them.

`classes.json` is one of

- `{"classes": ["road", "sea"], "colors": {"road": "#804080", ...}, "values": {"road": 7, ...},
  "ignore": 255}`, where all but `classes` may be left out; without `values`, the classes have the
  values 0, 1, 2, ... in their order. Colours are "#rrggbb" or [r, g, b]; `ignore` is a value, a
  colour or a list of them.
- a list of names, or `{"road": 7}`, or `{"road": "#804080"}`, or `{"0": "road"}`.

A `labelmap.txt` of CVAT gives names and colours; classes.txt and the like a name on each line.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pplcnet.data.class_names import class_name, name_faults
from pplcnet.data.layouts.list_file import LABEL_FILES, read_label_file
from pplcnet.data.layouts.list_text import numbered_lines, read_text, shortened
from pplcnet.data.masks import MOST_CLASSES, colour_text
from pplcnet.errors import DatasetError
from pplcnet.system.wording import counted, listed

__all__ = ["CLASSES_FILE", "MaskClasses", "find_classes", "read_classes"]

CLASSES_FILE = "classes.json"
LABEL_MAP = "labelmap.txt"
LARGEST_VALUE = 0xFFFF
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_MAP_LINE = re.compile(r"(?P<name>[^:]+):(?P<colour>\d{1,3},\d{1,3},\d{1,3}):.*")


class MaskClasses(NamedTuple):
    """What a file says of the classes in masks."""

    source: Path
    names: tuple[str, ...]
    values: tuple[int, ...] | None = None
    """Grey level or palette index of each class; None where they are 0, 1, 2, ... by default."""
    colours: tuple[int, ...] | None = None
    """0xRRGGBB of each class; None where there are none."""
    ignored: tuple[int, ...] | None = None
    """Values to be ignored; None where nothing is said."""
    ignored_colours: tuple[int, ...] = ()


def find_classes(folders: Sequence[Path]) -> MaskClasses | None:
    """What the first folder with such a file says; None without one.

    Raises:
        DatasetError: the file is not usable, or two of a folder name other classes.
    """
    for folder in folders:
        names = (CLASSES_FILE, LABEL_MAP, *LABEL_FILES)
        there = [each for name in names if os.path.isfile(each := folder / name)]
        if not there:
            continue
        found = read_classes(there[0])
        for other in there[1:]:
            if read_classes(other).names != found.names:
                raise DatasetError(
                    f"{folder}: {there[0].name} and {other.name} name different classes, or in "
                    "another order; move the wrong one away."
                )
        return found
    return None


def read_classes(path: Path) -> MaskClasses:
    """What one file says.

    Raises:
        DatasetError: it cannot be read, or says nothing that can be used.
    """
    if path.suffix.lower() == ".json":
        found = _of_json(path)
    elif path.name == LABEL_MAP:
        found = _of_label_map(path)
    else:
        names = read_label_file(path)
        values = tuple(sorted(names))
        found = MaskClasses(path, tuple(names[each] for each in values))
        if values != tuple(range(len(values))):
            found = found._replace(values=values)
    faults = list(name_faults(found.names))
    repeated = [name for name, count in Counter(found.names).items() if count > 1]
    if repeated:
        faults.append(f"{listed(sorted(repeated))}: named twice")
    for what, given in (("value", found.values), ("colour", found.colours)):
        if given is not None and len({*given}) < len(given):
            faults.append(f"two classes have the same {what}")
    if not 1 < len(found.names) <= MOST_CLASSES:
        faults.append(
            f"{counted(len(found.names), 'class')}; 2 to {MOST_CLASSES} are allowed, including the "
            "background"
        )
    if faults:
        raise DatasetError(f"{path}: its classes cannot be used:", faults)
    return found


def _of_json(path: Path) -> MaskClasses:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: not JSON ({str(error)[:120]}).") from error
    if isinstance(content, list):
        return MaskClasses(path, _names(path, content))
    if isinstance(content, dict) and "classes" in content:
        return _of_object(path, content)
    if isinstance(content, dict) and content:
        return _of_mapping(path, content)
    raise _unusable(path)


def _of_object(path: Path, content: Mapping[str, Any]) -> MaskClasses:
    names = _names(path, content["classes"])
    found = MaskClasses(path, names)
    colours = content.get("colors", content.get("colours"))
    if colours is not None:
        found = found._replace(colours=_for_each(path, "colors", names, colours, _colour))
    if content.get("values") is not None:
        values = _for_each(path, "values", names, content["values"], _value)
        found = found._replace(values=values)
    if "ignore" in content or "ignored" in content:
        given = content.get("ignore", content.get("ignored"))
        every = given if isinstance(given, list) else [] if given is None else [given]
        if len(every) == 3 and found.colours is not None and found.values is None:
            every = [every]  # one colour as three numbers
        levels = [each for each in every if type(each) is int]
        colours = [each for each in every if type(each) is not int]
        found = found._replace(
            ignored=tuple(_checked(path, "ignore", each, _value) for each in levels),
            ignored_colours=tuple(_checked(path, "ignore", each, _colour) for each in colours),
        )
    return found


def _of_mapping(path: Path, content: Mapping[str, Any]) -> MaskClasses:
    if all(isinstance(each, str) and not _HEX.fullmatch(each) for each in content.values()):
        if not all(key.isdecimal() and len(key) < 6 for key in content):
            raise _unusable(path)
        order = sorted(content, key=int)
        values = tuple(map(int, order))
        found = MaskClasses(path, _names(path, [content[key] for key in order]))
        return found if values == tuple(range(len(order))) else found._replace(values=values)
    names = _names(path, list(content))
    if all(type(each) is int for each in content.values()):
        given = sorted(zip((*content.values(),), names, strict=True))
        values = tuple(_checked(path, name, value, _value) for value, name in given)
        found = MaskClasses(path, tuple(name for _, name in given))
        return found if values == tuple(range(len(values))) else found._replace(values=values)
    colours = tuple(
        _checked(path, name, value, _colour)
        for name, value in zip(names, content.values(), strict=True)
    )
    return MaskClasses(path, names, colours=colours)


def _of_label_map(path: Path) -> MaskClasses:
    names, colours = list[str](), list[int]()
    for number, line in numbered_lines(read_text(path)):
        if line.startswith("#"):
            continue
        found = _MAP_LINE.fullmatch(line)
        if found is None:
            raise DatasetError(
                f"{path}: line {number} is {shortened(line)!r}; expected name:r,g,b:: as CVAT "
                "writes it."
            )
        names.append(class_name(found["name"]))
        levels = [int(each) for each in found["colour"].split(",")]
        colours.append(_checked(path, f"line {number}", levels, _colour))
    return MaskClasses(path, tuple(names), colours=tuple(colours))


def _names(path: Path, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise _unusable(path)
    if len(given) > MOST_CLASSES:
        raise DatasetError(
            f"{path}: {len(given)} classes; 2 to {MOST_CLASSES} are possible, the background among "
            "them."
        )
    return tuple(class_name(each) for each in given)


def _for_each(
    path: Path, key: str, names: Sequence[str], given: Any, read: Callable[[Any], int]
) -> tuple[int, ...]:
    """The value or colour of each class, from a list or by name."""
    if isinstance(given, dict):
        by_name = {class_name(name): value for name, value in given.items()}
        missing = [name for name in names if name not in by_name]
        unknown = [name for name in by_name if name not in names]
        if missing or unknown:
            what = f"has none for {listed(missing)}" if missing else f"names {listed(unknown)}"
            raise DatasetError(f"{path}: {key} {what}; give one for each of classes.")
        given = [by_name[name] for name in names]
    if not isinstance(given, list) or len(given) != len(names):
        raise DatasetError(f"{path}: {key} has to have one for each of {len(names)} classes.")
    return tuple(_checked(path, key, each, read) for each in given)


def _checked(path: Path, key: str, given: Any, read: Callable[[Any], int]) -> int:
    try:
        return read(given)
    except ValueError:
        what = "a value from 0 to 65535" if read is _value else 'a colour: "#rrggbb" or [r, g, b]'
        raise DatasetError(
            f"{path}: {key} has {shortened(str(given))!r}, which is not {what}."
        ) from None


def _value(given: Any) -> int:
    if type(given) is not int or not 0 <= given <= LARGEST_VALUE:
        raise ValueError(given)
    return given


def _colour(given: Any) -> int:
    if isinstance(given, str) and _HEX.fullmatch(given):
        return int(given[1:], 16)
    if (
        isinstance(given, list)
        and len(given) == 3
        and all(type(each) is int and 0 <= each <= 255 for each in given)
    ):
        return int.from_bytes(bytes(given), "big")
    raise ValueError(given)


def _unusable(path: Path) -> DatasetError:
    example = {"classes": ["road", "sea"], "colors": {"road": colour_text(0x804080), "sea": "..."}}
    return DatasetError(
        f"{path}: does not name the classes; give a list of names, or for example "
        f"{json.dumps(example)}, where colors are only needed for colour-coded masks."
    )
