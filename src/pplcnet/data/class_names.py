"""Class names: which are allowed, and which look too much alike to be two classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pplcnet.errors import DatasetError, printable

__all__ = ["class_name", "name_faults", "require_two_classes"]

LONGEST_NAME = 200

_QUOTES = "'\"`‘’“”"
_WHOLE_FLOAT = re.compile(r"(\d+)\.0+")


def class_name(text: str) -> str:
    """The name in the form that is compared: stripped, with composed accents (NFC).

    Keyboards type composed accents; file names on macOS have decomposed ones.
    """
    return unicodedata.normalize("NFC", text.strip())


def name_faults(names: Iterable[str], places: Mapping[str, str] | None = None) -> list[str]:
    """One sentence for each unusable name, and for names that look alike.

    Args:
        names: in the form that `class_name` gives.
        places: where each name first appears, for the messages.
    """
    places = places or {}
    faults, alike = [], dict[str, list[str]]()
    for name in sorted(set(names)):
        place = f" ({places[name]})" if name in places else ""
        categories = {unicodedata.category(each) for each in name}
        if not name:
            faults.append("a class has an empty name")
        elif categories == {"Cf"}:
            faults.append(f"class {name!r}{place}: the name has no visible character")
        elif "Cs" in categories:
            faults.append(
                f"class {printable(name)}{place}: the name is not UTF-8; rename it (names from a "
                "zip file are often of another encoding: unzip -O CP1252, or -O GBK)"
            )
        elif categories & {"Cc", "Zl", "Zp"}:
            faults.append(f"class {name!r}{place}: contains a line break or control character")
        elif len(name) > LONGEST_NAME:
            faults.append(
                f"class {name[:LONGEST_NAME]!r}...{place}: has {len(name)} characters, at most "
                f"{LONGEST_NAME} are allowed"
            )
        else:
            alike.setdefault(_look(name), []).append(f"{name!r}{place}")
    return faults + [
        f"classes {' and '.join(group)} differ only in case, spaces or notation: write them the "
        "same if they are one class, else give them different names"
        for group in alike.values()
        if len(group) > 1
    ]


def require_two_classes(place: Path, classes: Sequence[str], *, hint: str = "") -> None:
    """Raise DatasetError if there is only one class.

    Args:
        place: the data set, for the message.
        hint: a sentence to end the message with.
    """
    if len(classes) < 2:
        raise DatasetError(
            f"{place}: one class only ({classes[0]!r}); a classifier needs two or more "
            f"classes.{hint}"
        )


def _look(name: str) -> str:
    """A key that is equal for names that people would take for the same.

    Single characters stay unchanged: in handwriting, 'a' and 'A' are two classes.
    """
    if len(name) == 1:
        return name
    folded = unicodedata.normalize("NFKC", name)
    visible = "".join(each for each in folded if unicodedata.category(each) != "Cf")
    look = " ".join(visible.replace("_", " ").split()).strip(_QUOTES).lower()
    whole = _WHOLE_FLOAT.fullmatch(look)
    return whole[1] if whole else look
