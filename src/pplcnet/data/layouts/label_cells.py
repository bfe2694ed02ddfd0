"""Cells with names of labels: which are not names, and which are several names in one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from pplcnet.data.class_names import class_name, name_faults
from pplcnet.data.layouts.csv_text import UNNAMED
from pplcnet.data.layouts.list_text import shortened

__all__ = ["LABELS_COLUMN", "SEPARATOR", "label_faults", "list_faults"]

LABELS_COLUMN = "labels"
SEPARATOR = ";"
OTHER_SEPARATORS = ("|", ",")

_JOINED = re.compile(r"[\s/&+]+")
_JSON = re.compile(r"""[\[{]\s*["'].*[\]}]""")
# What pandas and spreadsheets write for a missing value or a failed formula.
_MISSING = (
    "nan",
    "<na>",
    "#n/a",
    "#nv",
    "#ref!",
    "#name?",
    "#value!",
    "#div/0!",
    "#null!",
    "#num!",
)
# How spreadsheets keep 001 from becoming 1.
_TEXT_FORMULA = re.compile(r'="(.*)"')


def label_faults(labels: Collection[str], first: Mapping[str, str]) -> list[str]:
    """What is wrong with the labels of a table with one per image, a sentence each.

    Args:
        labels: the labels that are not empty.
        first: every label, and where it first appears.
    """
    faults = []
    for label, place in first.items():
        fault = _not_a_name(label) or _other_labels(label, first)
        if fault:
            faults.append(f"{place}: {fault}")
    return faults + name_faults(labels, first)


def list_faults(first: Mapping[str, str]) -> list[str]:
    """The same for names that are separated by semicolons.

    A name with a comma is refused, since "salt, coarse" could also be "salt" and "coarse".
    """
    faults = []
    for label, place in first.items():
        fault = _not_a_name(label) or _unseparated(label, first)
        if fault:
            faults.append(f"{place}: {fault}")
    return faults or name_faults(first, first)


def _not_a_name(label: str) -> str:
    if label.lower() in _MISSING:
        return (
            f"label {label!r} is what pandas or a spreadsheet writes for a missing value; give the "
            "label or remove the line (if a class is really called that, rename it)"
        )
    if UNNAMED.fullmatch(label):
        return f"label {label!r} is what pandas calls a column without a name; give it another name"
    if _TEXT_FORMULA.fullmatch(label):
        return f"label {shortened(label)!r} is a spreadsheet formula; write only the text"
    if _JSON.fullmatch(label):
        return f"label {shortened(label)!r} looks like JSON or Python code; write names only"
    return ""


def _other_labels(label: str, first: Mapping[str, str]) -> str:
    for separator in (SEPARATOR, *OTHER_SEPARATORS):
        names = [class_name(name) for name in label.split(separator)]
        if len(names) > 1 and all(name in first for name in names):
            return (
                f"label {shortened(label)!r} consists of other labels of this table; for several "
                f"labels per photo, call the column {LABELS_COLUMN!r} and separate the names by "
                "semicolons"
            )
    return ""


def _unseparated(label: str, first: Mapping[str, str]) -> str:
    separator = next((each for each in OTHER_SEPARATORS if each in label), None)
    if separator:
        return (
            f"label {shortened(label)!r} contains {separator!r}, but labels are separated by "
            f"semicolons; if {separator!r} is part of the name, use a column for each label instead"
        )
    words = _JOINED.split(label)
    if len(words) > 1 and all(word in first for word in words):
        return f"label {shortened(label)!r} consists of other labels; separate them by semicolons"
    return ""
