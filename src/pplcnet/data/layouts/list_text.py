"""The text of a table or a list, and the files of other splits beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pplcnet.errors import DatasetError
from pplcnet.system.wording import listed

__all__ = [
    "SPLIT_NAMES",
    "lists_beside",
    "notes_on_unread",
    "numbered_lines",
    "read_text",
    "shortened",
    "shown_beside",
]

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of folders, lists and cells to the split that they mean."""

LARGEST_BYTES = 1 << 30
LONGEST_SHOWN = 200
# Excel's files since 2007 (a zip) and before.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LINE_END_BYTES = re.compile(rb"\r\n|\r|\n")
_ANY_SPLIT = re.compile(
    rf"(?<![^\W_])({'|'.join(SPLIT_NAMES)}|eval|dev|holdout)(?![^\W\d_])", re.IGNORECASE
)
_TRAIN = re.compile(r"(?<![^\W_])(train|training)(?![^\W\d_])", re.IGNORECASE)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, or of a UTF-16 file that begins with a byte order mark.

    Raises:
        DatasetError: it is not a file, is larger than 1 GiB, or has another encoding. An encoding
            is never guessed, since a wrong guess gives wrong class names.
    """
    try:
        if not os.path.isfile(path):
            raise DatasetError(f"{path}: not a file.")
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise DatasetError(f"{path}: {size} bytes; at most {LARGEST_BYTES} are read.")
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if content.startswith(_WORKBOOKS):
        raise DatasetError(f"{path}: an Excel workbook; save its sheet as 'CSV UTF-8'.")
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise DatasetError(
                f"{path}: begins like UTF-16 and is damaged from byte {error.start} on. Save it "
                "as UTF-8."
            ) from error
        line = len(_LINE_END_BYTES.findall(content[: error.start])) + 1
        raise DatasetError(
            f"{path}: line {line} is not UTF-8 (byte 0x{content[error.start]:02x}). Save the file "
            "as UTF-8: in Excel, choose the type 'CSV UTF-8'; in a terminal, run iconv -f CP1252 "
            "-t UTF-8 (Western European text) or iconv -f GBK -t UTF-8 (Chinese text)."
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DatasetError(
            f"{path}: line {line} holds a NUL character: the file is damaged, or UTF-16 or UTF-32 "
            "without the mark that says so. Save it as UTF-8."
        )
    return text.removeprefix("\ufeff")


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, without white space around them; empty lines are left out."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def shortened(text: str) -> str:
    """A cell for a message; in a broken file, a cell can be as long as the file."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def lists_beside(path: Path) -> list[tuple[Path, str]]:
    """The lists beside a training list that are named after it, each with its split.

    `train.txt` brings `val.txt` and `test.txt`; `train_list.txt` brings `val_list.txt`; and so on
    for every name that holds the word "train". A list in a folder of that name, `train/list.csv`,
    brings those of the same name in the folders beside it, `valid/list.csv`.

    Raises:
        DatasetError: two files are named for one split.
    """
    found_for: dict[str, Path] = {}
    for other, split in _candidates(path):
        if split == "train" or not os.path.isfile(other):
            continue
        if split in found_for:
            raise DatasetError(
                f"{path}: {shown_beside(found_for[split], path)} and {shown_beside(other, path)} "
                f"are next to it, and both are named for the {split} split; move one of them away."
            )
        found_for[split] = other
    return [(other, split) for split, other in found_for.items()]


def shown_beside(path: Path, other: Path) -> str:
    """The name of a file beside another one, with its folder where that differs."""
    return path.name if path.parent == other.parent else f"{path.parent.name}/{path.name}"


def notes_on_unread(path: Path, read: Iterable[Path]) -> list[str]:
    """A sentence if files beside a training list are named after a split but not read."""
    if not _TRAIN.search(path.stem):
        return []
    known = {path.name, *(each.name for each in read)}
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:  # only a note is lost
        names = []
    unread = [
        name
        for name in names
        if name not in known
        and os.path.splitext(name)[1] == path.suffix
        and _ANY_SPLIT.search(os.path.splitext(name)[0])
    ]
    if not unread:
        return []
    return [
        f"{listed(unread)} beside {path.name} {'are' if len(unread) > 1 else 'is'} not read: name "
        "the lists of other splits like the training list, with val or test instead of train."
    ]


def _candidates(path: Path) -> Iterator[tuple[Path, str]]:
    """Where the list of each split would be if `path` is the training list."""
    words = list(_TRAIN.finditer(path.stem))
    folder = path.absolute().parent
    for name, split in SPLIT_NAMES.items():
        if words:
            start, end = words[-1].span()
            spelled = _in_the_case_of(words[-1].group(), name)
            yield (
                path.with_name(f"{path.stem[:start]}{spelled}{path.stem[end:]}{path.suffix}"),
                split,
            )
        elif SPLIT_NAMES.get(folder.name.lower()) == "train":
            yield folder.with_name(_in_the_case_of(folder.name, name)) / path.name, split


def _in_the_case_of(pattern: str, name: str) -> str:
    if pattern.isupper():
        return name.upper()
    return name.capitalize() if pattern[0].isupper() else name
